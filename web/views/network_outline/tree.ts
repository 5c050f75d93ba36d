/**
 * The layers of a network as a tree of named groups, so that thousands of them can be read a level at a time.
 *
 * A group is a common prefix of qualified names ("stages.0.conv1" stands in "stages" › "stages.0"). Three or more
 * neighbouring groups built alike (the same kinds of layers with the same sizes) are gathered into one "× n" group.
 */

/** What the tree needs to know of one layer: a part of `LayerOutline`. */
export interface NamedLayer {
  name: string;
  kind: string;
  parameters: number;
}

/** A layer (`layer` ≥ 0) or a group of them. */
export interface TreeNode {
  key: string;
  label: string;
  layer: number;
  children: TreeNode[];
  /** Indices of all layers below, in order of execution. */
  layers: number[];
  /** How many alike groups this one gathers; 1 for every other node. */
  repeats: number;
  parent: TreeNode | null;
}

/** Above this many boxes the outline starts folded. */
export const READABLE = 48;

/** How many neighbours must be alike before they are gathered. */
const ALIKE = 3;

function makeNode(key: string, label: string, layer = -1): TreeNode {
  return { key, label, layer, children: [], layers: layer < 0 ? [] : [layer], repeats: 1, parent: null };
}

/** Build the tree of all layers; its root is the whole model. */
export function growTree(layers: readonly NamedLayer[]): TreeNode {
  const root = makeNode("", "");
  const groups = new Map<string, TreeNode>([["", root]]);
  layers.forEach((layer, index) => {
    const parts = layer.name.split(".");
    let parent = root;
    let prefix = "";
    for (const part of parts.slice(0, -1)) {
      prefix = prefix ? `${prefix}.${part}` : part;
      let group = groups.get(prefix);
      if (!group) {
        group = makeNode(prefix, prefix);
        groups.set(prefix, group);
        parent.children.push(group);
      }
      parent = group;
    }
    // A layer's key carries its index: a module may share its name with a group, or run twice.
    parent.children.push(makeNode(`${layer.name}#${index}`, layer.name, index));
  });
  const built = tidy(root, layers, new Map());
  link(built);
  return built;
}

/** Replace groups of one child by the child, gather alike neighbours, and count layers; children before parents. */
function tidy(node: TreeNode, layers: readonly NamedLayer[], signatures: Map<TreeNode, string>): TreeNode {
  if (node.layer >= 0) {
    const layer = layers[node.layer]!;
    signatures.set(node, `${layer.kind}:${layer.parameters}`);
    return node;
  }
  const children = node.children.map((child) => tidy(child, layers, signatures));
  node.children = children;
  if (children.length === 1 && node.key !== "") return children[0]!;
  signatures.set(node, `(${children.map((child) => signatures.get(child)).join(",")})`);
  node.children = gatherAlike(children, signatures);
  node.layers = children.flatMap((child) => child.layers).sort((a, b) => a - b);
  return node;
}

function gatherAlike(children: TreeNode[], signatures: Map<TreeNode, string>): TreeNode[] {
  const out: TreeNode[] = [];
  for (let start = 0; start < children.length;) {
    const first = children[start]!;
    let end = start + 1;
    if (first.layer < 0) {
      while (end < children.length && signatures.get(children[end]!) === signatures.get(first)) end += 1;
    }
    const alike = children.slice(start, end);
    if (alike.length >= ALIKE && alike.length < children.length) {
      const last = alike[alike.length - 1]!;
      const gathered = makeNode(`${first.key}…${last.key}`, rangeLabel(first.label, last.label));
      gathered.children = alike;
      gathered.layers = alike.flatMap((child) => child.layers).sort((a, b) => a - b);
      gathered.repeats = alike.length;
      out.push(gathered);
    } else {
      out.push(...alike);
    }
    start = end;
  }
  return out;
}

/** "blocks.1" and "blocks.11" become "blocks.1–11". */
function rangeLabel(first: string, last: string): string {
  const dot = last.lastIndexOf(".");
  return first.slice(0, first.lastIndexOf(".")) === last.slice(0, dot)
    ? `${first}–${last.slice(dot + 1)}`
    : `${first} – ${last}`;
}

function link(node: TreeNode): void {
  for (const child of node.children) {
    child.parent = node;
    link(child);
  }
}

/** The nodes on the screen when the groups in `open` are unfolded, in order of first execution. */
export function visibleNodes(root: TreeNode, open: ReadonlySet<string>): TreeNode[] {
  const out: TreeNode[] = [];
  const visit = (node: TreeNode): void => {
    if (node.layer >= 0 || (node !== root && !open.has(node.key))) out.push(node);
    else node.children.forEach(visit);
  };
  visit(root);
  return out.sort((a, b) => a.layers[0]! - b.layers[0]!);
}

/** Keys of all groups whose depth below the root is less than `depth`. */
export function openToDepth(root: TreeNode, depth: number): Set<string> {
  const open = new Set<string>();
  const visit = (node: TreeNode, level: number): void => {
    if (node.layer >= 0 || level > depth) return;
    if (node !== root) open.add(node.key);
    for (const child of node.children) visit(child, level + 1);
  };
  visit(root, 0);
  return open;
}

/** How many times the deepest group must be unfolded before every layer shows. */
export function treeDepth(node: TreeNode): number {
  return node.layer >= 0 ? -1 : 1 + Math.max(-1, ...node.children.map(treeDepth));
}

/** The greatest depth that still shows at most `limit` boxes; all of it for a small network. */
export function readableDepth(root: TreeNode, limit = READABLE): number {
  const deepest = treeDepth(root);
  for (let depth = deepest; depth > 0; depth -= 1) {
    if (visibleNodes(root, openToDepth(root, depth)).length <= limit) return depth;
  }
  return 0;
}

/** The visible node that holds each layer, as indices into `visible`. */
export function ownersOf(visible: readonly TreeNode[], layerCount: number): Int32Array {
  const owner = new Int32Array(layerCount).fill(-1);
  visible.forEach((node, index) => {
    for (const layer of node.layers) owner[layer] = index;
  });
  return owner;
}
