/** Settings of any depth as lines of a list, and the search through them. */

/** One setting: its path ("optimizer", "weight_decay") and its value in words. */
export interface Entry {
  path: readonly string[];
  value: string;
}

/** A heading with the settings under it. */
export interface Section {
  title: string;
  entries: Entry[];
}

/** A JSON value as a person reads it. Numbers stay exact: settings are copied. */
export function formatValue(value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.length ? value.map(formatValue).join(", ") : "none";
  if (typeof value === "object") return Object.keys(value).length ? JSON.stringify(value) : "none";
  return String(value);
}

/** Every setting below an object. Objects nest; lists of objects are numbered from 1. */
export function flatten(value: unknown, path: readonly string[] = []): Entry[] {
  if (Array.isArray(value) && value.some((item) => typeof item === "object" && item !== null)) {
    return value.flatMap((item, index) => flatten(item, [...path, String(index + 1)]));
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length) {
    return Object.entries(value).flatMap(([key, item]) => flatten(item, [...path, key]));
  }
  return path.length ? [{ path, value: formatValue(value) }] : [];
}

/** Sections of the settings: one a nested object, and one for what stands at the top. */
export function sectionsOf(settings: Readonly<Record<string, unknown>>, topTitle: string): Section[] {
  const top: Section = { title: topTitle, entries: [] };
  const out = [top];
  for (const [key, value] of Object.entries(settings)) {
    const entries = flatten(value, [key]);
    if (entries.length > 1 || (entries[0] && entries[0].path.length > 1)) {
      out.push({ title: key, entries: entries.map((entry) => ({ ...entry, path: entry.path.slice(1) })) });
    } else top.entries.push(...entries);
  }
  return out.filter((section) => section.entries.length > 0);
}

/** Only what holds every word of the search in its heading, path or value. */
export function searchSections(sections: readonly Section[], search: string): Section[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return sections
    .map((section) => ({
      ...section,
      entries: section.entries.filter((entry) => {
        const text = [section.title, ...entry.path, entry.value].join(" ").toLowerCase();
        return words.every((word) => text.includes(word) || text.replaceAll("_", " ").includes(word));
      }),
    }))
    .filter((section) => section.entries.length > 0);
}
