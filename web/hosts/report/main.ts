import "../../styles/base.css";
import "./report.css";
import { mount } from "svelte";
import { theme } from "../../parts/theme.svelte";
import { readReport } from "./read";
import Report from "./Report.svelte";
import Unreadable from "./Unreadable.svelte";

theme.start();

const target = document.getElementById("pellucid") ?? document.body.appendChild(document.createElement("div"));
try {
  mount(Report, { target, props: { data: readReport(document.getElementById("pellucid-data")?.textContent ?? "") } });
} catch (error) {
  mount(Unreadable, { target, props: { reason: error instanceof Error ? error.message : String(error) } });
}
