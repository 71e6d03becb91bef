// A result -> shapes to draw on its image. A shape has nodes of SVG, its label and score, whether it is at a place, and
// what it tells there.

import { shape } from "./dom.js"
import { depthOf, maskOf } from "./pixels.js"
import { has, number, percent, say } from "./words.js"

// Light colours that people of all kinds of sight tell apart in this order; black letters on each can be read.
const COLORS = ["#56c7ff", "#ffd23f", "#5fe0a5", "#ff9ac1", "#ffab5e", "#c3a6ff", "#c4ea5a", "#6ff0e6", "#ff9184", "#e4dccb"]
// Of the 17 keypoints of a person as COCO counts them, those that a line joins.
const PERSON = 17
const LIMBS = [[15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8], [7, 9],
  [8, 10], [1, 2], [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6]]
const SEEN = 0.5 // score from which a keypoint is drawn
const NEAR_PX = 9

export const textOf = ({ label, score }) =>
  score === null || score === undefined ? String(label) : `${label} ${percent(score)}`

/** A colour for each label, the most frequent first. */
export function colorsOf(predictions) {
  const counts = new Map()
  for (const { label } of predictions) counts.set(label, (counts.get(label) ?? 0) + 1)
  const labels = [...counts.keys()].sort((one, other) => counts.get(other) - counts.get(one))
  return new Map(labels.map((label, index) => [label, { color: COLORS[index % COLORS.length], count: counts.get(label) }]))
}

/** The shapes of a result on an image of this size, each with the `prediction` it stands for. */
export async function shapesOf(result, size, colors) {
  const paint = PAINTERS[result.task]
  return paint ? paint(result, size, colors) : []
}

const PAINTERS = {
  "image-classification": (result, size, colors) => (result.tiles ?? []).map((tile) => tileShape(tile, colors)),
  "object-detection": (result, size, colors) => result.predictions.map((found) => boxShape(found, colors)),
  "keypoint-detection": (result, size, colors) => result.predictions.map((found) => poseShape(found, colors)),
  "image-segmentation": maskShapes,
  "depth-estimation": depthShapes,
}

function base(prediction, colors, box, nodes) {
  const text = textOf(prediction)
  return {
    prediction, text, box, nodes,
    color: colors.get(prediction.label)?.color ?? COLORS[0],
    area: (box.xmax - box.xmin) * (box.ymax - box.ymin),
    hit: (x, y) => x >= box.xmin && x <= box.xmax && y >= box.ymin && y <= box.ymax,
    tell: () => text,
  }
}

/** An outline and its halo, which keeps it in sight on any ground. */
function outlined(name, geometry, color, kind = "") {
  return [shape(name, { ...geometry, class: `halo ${kind}` }), shape(name, { ...geometry, class: `line ${kind}`, stroke: color })]
}

const rectangle = ({ xmin, ymin, xmax, ymax }) =>
  ({ x: xmin, y: ymin, width: Math.max(0, xmax - xmin), height: Math.max(0, ymax - ymin) })

function boxShape(found, colors) {
  const made = base(found, colors, found.box, [])
  if (!found.polygon) {
    made.nodes = [shape("g", {}, ...outlined("rect", rectangle(found.box), made.color))]
    return made
  }
  const points = found.polygon.map(({ x, y }) => `${x},${y}`).join(" ")
  made.nodes = [shape("g", {}, ...outlined("polygon", { points }, made.color))]
  made.hit = (x, y) => isInside(found.polygon, x, y)
  return made
}

function isInside(polygon, x, y) {
  let inside = false
  polygon.forEach((corner, index) => {
    const next = polygon[(index + 1) % polygon.length]
    const crosses = (corner.y > y) !== (next.y > y)
    if (crosses && x < ((next.x - corner.x) * (y - corner.y)) / (next.y - corner.y) + corner.x) inside = !inside
  })
  return inside
}

function poseShape(found, colors) {
  const made = base(found, colors, found.box, [])
  const seen = found.keypoints.map((point) => (point.score === null || point.score >= SEEN ? point : null))
  const limbs = (seen.length === PERSON ? LIMBS : []).filter(([from, to]) => seen[from] && seen[to])
  const lines = limbs.flatMap(([from, to]) => outlined("line",
    { x1: seen[from].x, y1: seen[from].y, x2: seen[to].x, y2: seen[to].y }, made.color, "limb"))
  const dots = seen.filter(Boolean).map(({ x, y }) => shape("circle", { cx: x, cy: y, class: "dot", fill: made.color }))
  made.nodes = [shape("g", {}, ...outlined("rect", rectangle(found.box), made.color, "faint"), ...lines, ...dots)]
  made.tell = (x, y, unit) => {
    const near = seen.find((point) => point && Math.hypot(point.x - x, point.y - y) < NEAR_PX * unit)
    return near ? textOf(near) : made.text
  }
  return made
}

function tileShape(tile, colors) {
  const made = base(tile, colors, tile.box, [])
  made.nodes = [shape("rect", { ...rectangle(tile.box), class: "tile", fill: made.color, "fill-opacity": 0.08 + 0.42 * tile.score })]
  made.text = ""
  made.tell = () => textOf(tile)
  return made
}

async function maskShapes(result, size, colors) {
  const made = []
  for (const found of result.predictions) { // one after the other: each is as large as the image
    const each = base(found, colors, found.box ?? { xmin: 0, ymin: 0, xmax: 0, ymax: 0 }, [])
    const mask = await maskOf(found.mask, size, each.color)
    each.nodes = [shape("g", {}, ...(mask.url ? [shape("image", { ...rectangle(mask.box), href: mask.url, preserveAspectRatio: "none" })] : []),
      ...(found.box ? outlined("rect", rectangle(found.box), each.color, "faint") : []))]
    if (!found.box) each.box = mask.box
    each.text = found.box ? each.text : ""
    each.area = mask.pixels
    each.hit = mask.has
    made.push(each)
  }
  return made
}

async function depthShapes(result, size) {
  const depth = await depthOf(result.depth, size)
  const box = { xmin: 0, ymin: 0, xmax: size.width, ymax: size.height }
  const spread = result.maximum - result.minimum
  return [{
    prediction: { label: "", score: null }, text: "", box, area: Infinity, color: COLORS[0],
    nodes: [shape("image", { ...rectangle(box), href: depth.url, preserveAspectRatio: "none", class: "depth" })],
    hit: () => true,
    tell: (x, y) => say("depth_here", { value: number(result.minimum + depth.at(x, y) * spread, 3) }),
  }]
}

export const taskName = (task) => (has(`task_${task}`) ? say(`task_${task}`) : task)
