import { expect, it } from "vitest";
import { className, namesOf } from "../../parts/class_name";

it("calls a class by its name, and one without a name by its number", () => {
  expect(className(["setosa", "3", "", "2.0"], 0)).toBe("setosa");
  expect(className(["setosa", "3"], 1)).toBe("class 3");
  expect(className(["setosa", "3", ""], 2)).toBe("class 2");
  expect(className(["a", "b", "c", "2.0"], 3)).toBe("class 2");
  expect(className([], 7)).toBe("class 7");
});

it("takes a result's own names before the run's", () => {
  expect(namesOf(["a"], ["b"])).toEqual(["a"]);
  expect(namesOf([], ["b"])).toEqual(["b"]);
  expect(namesOf(undefined, ["b"])).toEqual(["b"]);
});
