import { describe, expect, it } from "vitest";
import { nextSort, sortRows, type TableColumn } from "../../parts/table_sort";

interface Row {
  name: string;
  value: number | null;
}
const COLUMNS: TableColumn<Row>[] = [
  { key: "name", label: "Name", value: (row) => row.name },
  { key: "value", label: "Value", value: (row) => row.value, numeric: true },
];
const ROWS: Row[] = [
  { name: "run 10", value: 2 },
  { name: "run 9", value: NaN },
  { name: "Run 1", value: 3 },
  { name: "run 2", value: null },
];
const order = (sort: string) => sortRows(ROWS, COLUMNS, sort).map((row) => row.name);

describe("sorting", () => {
  it("reads numbers within names as numbers", () => {
    expect(order("name")).toEqual(["Run 1", "run 2", "run 9", "run 10"]);
    expect(order("-name")).toEqual(["run 10", "run 9", "run 2", "Run 1"]);
  });

  it("puts what is missing last, both ways", () => {
    expect(order("value").slice(0, 2)).toEqual(["run 10", "Run 1"]);
    expect(order("-value").slice(0, 2)).toEqual(["Run 1", "run 10"]);
  });

  it("leaves the order alone where it names no column", () => {
    expect(order("")).toEqual(ROWS.map((row) => row.name));
    expect(order("-nonsense")).toEqual(ROWS.map((row) => row.name));
  });

  it("starts numbers from the largest, and turns round", () => {
    const [name, value] = COLUMNS as [TableColumn<Row>, TableColumn<Row>];
    expect(nextSort("", value)).toBe("-value");
    expect(nextSort("-value", value)).toBe("value");
    expect(nextSort("value", name)).toBe("name");
    expect(nextSort("name", name)).toBe("-name");
  });
});
