/** What a person set in a measure's view, as text for the address and as props that the view binds to. */

export type Setting = string | number | boolean | null | readonly number[];
export type Settings = Readonly<Record<string, Setting>>;

/** Settings as `unit:3,layer:fc2`; a text that would be read as something else wears a quote in front. */
export function writeSettings(settings: Settings): string {
  return Object.entries(settings)
    .map(([name, value]) => `${escape(name)}:${writeSetting(value)}`)
    .join(",");
}

/** What `writeSettings` wrote; parts that make no sense are left out. */
export function readSettings(text: string): Settings {
  const found: Record<string, Setting> = {};
  for (const part of text.split(",")) {
    const cut = part.indexOf(":");
    const name = cut > 0 ? unescape(part.slice(0, cut)) : undefined;
    const value = name === undefined ? undefined : readSetting(part.slice(cut + 1));
    if (name !== undefined && name !== "__proto__" && value !== undefined) found[name] = value;
  }
  return found;
}

/**
 * An object with a property for each default, which gives what is set and takes what the view sets: spread into a
 * component, its properties are bound. What is set must be of the kind of the default; null stands for a number or numbers.
 */
export function boundSettings(
  defaults: Settings,
  read: () => Settings,
  write: (settings: Settings) => void,
): Record<string, Setting> {
  const bound: Record<string, Setting> = {};
  for (const [name, usual] of Object.entries(defaults))
    Object.defineProperty(bound, name, {
      enumerable: true,
      configurable: true,
      get: () => {
        const value = read()[name];
        return value !== undefined && isLike(value, usual) ? value : usual;
      },
      set: (value: Setting) => {
        const { [name]: _, ...others } = read();
        write(isSame(value, usual) ? others : { ...others, [name]: value });
      },
    });
  return bound;
}

function isLike(value: Setting, usual: Setting): boolean {
  if (usual === null) return value === null || typeof value === "number" || Array.isArray(value);
  if (Array.isArray(usual)) return Array.isArray(value) && value.length === usual.length;
  return typeof value === typeof usual;
}

function isSame(value: Setting, usual: Setting): boolean {
  return Array.isArray(value) && Array.isArray(usual)
    ? value.length === usual.length && value.every((one, at) => one === usual[at])
    : value === usual;
}

function writeSetting(value: Setting): string {
  if (typeof value === "string") return readSetting(escape(value)) === value ? escape(value) : `'${escape(value)}`;
  if (typeof value === "number") return brief(value);
  return Array.isArray(value) ? `[${value.map(brief).join(";")}]` : String(value);
}

function readSetting(text: string): Setting | undefined {
  if (text.startsWith("'")) return unescape(text.slice(1));
  if (text === "null") return null;
  if (text === "true" || text === "false") return text === "true";
  if (NUMBER.test(text)) return Number(text);
  if (!text.startsWith("[")) return unescape(text);
  const parts = text.slice(1, -1).split(";");
  return text.endsWith("]") && parts.every((part) => NUMBER.test(part)) ? parts.map(Number) : undefined;
}

const NUMBER = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/;

/** Four digits are as much as a hand sets. */
function brief(value: number): string {
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
}

function escape(text: string): string {
  return encodeURIComponent(text);
}

function unescape(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
