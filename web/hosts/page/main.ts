import "../../styles/base.css";
import { mount } from "svelte";
import { theme } from "../../parts/theme.svelte";
import App from "./App.svelte";
import { live } from "./live.svelte";
import { router } from "./router.svelte";

theme.start(new URLSearchParams(location.search).get("theme"));
router.start();
live.start();

const target = document.getElementById("app");
if (!target) throw new Error("the page has no #app");
mount(App, { target });
