/** What a class is called where only its number is known otherwise. */

/** "cat"; "class 3" where there is no name, or only a number for one. */
export function className(names: readonly string[], index: number): string {
  const name = names[index] ?? "";
  return name === "" || /^-?\d+(\.0)?$/.test(name) ? `class ${name === "" ? index : Number(name)}` : name;
}

/** The names that a result itself has, else those of the run's data. An older result knows of none. */
export function namesOf(own: readonly string[] | undefined, run: readonly string[]): readonly string[] {
  return own?.length ? own : run;
}
