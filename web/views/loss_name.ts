/** A loss as it is spoken of: `CrossEntropyLoss`, `cross_entropy` → "cross entropy". */
export function sayLoss(name: string): string {
  const words = name.replaceAll(/([a-z])([A-Z])/g, "$1 $2").replaceAll("_", " ");
  return words.toLowerCase().replace(/^mse\b/, "mean squared error");
}
