// What was found, in words beside the image: a list with bars, or what else a task's result is, and the answer as JSON.

import { element, find } from "./dom.js"
import { colorsOf } from "./shapes.js"
import { number, percent, say } from "./words.js"

const MOST_ROWS = 100
const LONGEST_TEXT = 120 // of a text in the JSON that is shown
const LONGEST_LIST = 24
const BARS = 128

/** Fill the panel with an answer's result; `changed` is told what is seen when the threshold moves. */
export function showResult(answer, { threshold, figure, changed }) {
  const panel = find("result")
  const result = answer.result ?? {}
  const colors = colorsOf(result.tiles ?? result.predictions ?? [])
  const describe = PANELS[result.task] ?? (() => [])
  panel.replaceChildren(...describe(result, { colors, threshold, figure, changed }), raw(answer))
}

const PANELS = {
  "image-classification": (result, { colors }) => [bars(result, colors)],
  "object-detection": found,
  "keypoint-detection": found,
  "image-segmentation": found,
  "depth-estimation": depth,
  "image-feature-extraction": embedding,
  tensor: tensors,
}

/** Labels with bars; where tiles are coloured on the image, with their colours too. */
function bars({ predictions, tiles }, colors) {
  const list = element("ol", { class: "bars" }, ...predictions.map((each) => {
    const color = tiles && colors.get(each.label)?.color
    const bar = element("span", { class: "level", "aria-hidden": "true" }, element("span"))
    bar.firstElementChild.style.width = `${100 * Math.min(1, Math.max(0, each.score))}%`
    return element("li", {}, element("span", { class: "label" }, color ? swatchOf(color) : null, each.label),
      element("span", { class: "score" }, percent(each.score)), bar)
  }))
  return predictions.length ? list : element("p", { class: "quiet" }, say("found_nothing"))
}

/** A legend with counts, a threshold, and a list of which one after the other can be shown on the image. */
function found(result, { colors, threshold, figure, changed }) {
  const legend = element("ul", { class: "legend" })
  const list = element("ol", { class: "rows", role: "listbox", tabindex: "0", "aria-label": say("results") })
  const more = element("p", { class: "quiet" })
  const update = (least) => {
    const seen = (each) => each.score === null || each.score === undefined || each.score >= least
    const predictions = result.predictions.filter(seen)
    legend.replaceChildren(...[...colorsOf(predictions)].map(([label, { count }]) => entry(label, count, colors.get(label).color)))
    fill(list, predictions.slice(0, MOST_ROWS), colors, figure)
    more.textContent = predictions.length > MOST_ROWS ? say("and_more", { count: number(predictions.length - MOST_ROWS) }) : ""
    changed(seen, predictions.length, least)
  }
  const scored = result.predictions.some((each) => typeof each.score === "number")
  update(threshold)
  return [scored ? slider("threshold", threshold, update) : null, legend, list, more].filter(Boolean)
}

function swatchOf(color) {
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" })
  swatch.style.backgroundColor = color
  return swatch
}

function entry(label, count, color) {
  return element("li", {}, swatchOf(color), label, element("span", { class: "quiet" }, ` × ${number(count)}`))
}

function fill(list, predictions, colors, figure) {
  const shapeOf = (prediction) => figure.shapes.find((each) => each.prediction === prediction)
  list.replaceChildren(...predictions.map((each, index) => {
    const score = typeof each.score === "number" ? percent(each.score) : ""
    const row = element("li", { role: "option", id: `row-${index}`, "aria-selected": "false" },
      swatchOf(colors.get(each.label).color),
      element("span", { class: "label" }, each.label), element("span", { class: "score" }, score))
    row.addEventListener("pointerenter", () => figure.mark(shapeOf(each) ?? null))
    row.addEventListener("pointerleave", () => figure.mark(null))
    return row
  }))
  list.hidden = !predictions.length
  list.onkeydown = (event) => walk(event, list, (index) => figure.mark(shapeOf(predictions[index]) ?? null))
  list.onblur = () => choose(list, -1, () => figure.mark(null))
}

function walk(event, list, show) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
  if (!step) return
  event.preventDefault()
  const now = [...list.children].findIndex((row) => row.getAttribute("aria-selected") === "true")
  choose(list, Math.min(list.children.length - 1, Math.max(0, now + step)), show)
}

function choose(list, index, show) {
  ;[...list.children].forEach((row, number) => row.setAttribute("aria-selected", number === index))
  if (index < 0) list.removeAttribute("aria-activedescendant")
  else {
    list.setAttribute("aria-activedescendant", `row-${index}`)
    list.children[index].scrollIntoView({ block: "nearest" })
  }
  show(index)
}

function slider(name, value, moved) {
  const input = element("input", { type: "range", id: name, min: 0, max: 1, step: 0.01, value })
  const told = element("output", { for: name }, percent(value))
  input.addEventListener("input", () => {
    told.textContent = percent(input.valueAsNumber)
    moved(input.valueAsNumber)
  })
  return element("div", { class: "slider" }, element("label", { for: name }, say(name)), input, told)
}

function depth(result, { figure }) {
  const range = { minimum: number(result.minimum, 3), maximum: number(result.maximum, 3) }
  const scale = element("div", { class: "depths", role: "img", "aria-label": say("depth_range", range) },
    element("span", {}, range.minimum), element("span", { class: "colors" }), element("span", {}, range.maximum))
  const blend = slider("blend", 0, (share) => figure.svg.style.setProperty("--through", 1 - share))
  return [scale, blend]
}

function embedding(result) {
  const values = result.embedding
  const norm = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
  const step = Math.max(1, values.length / BARS)
  const shown = Array.from({ length: Math.min(BARS, values.length) }, (_, index) => values[Math.floor(index * step)])
  const most = Math.max(1e-9, ...shown.map(Math.abs))
  const picture = element("div", { class: "vector", role: "img", "aria-label": say("embedding_picture") }, ...shown.map((value) => {
    const bar = element("span", { class: value < 0 ? "negative" : "" })
    bar.style.height = `${(50 * Math.abs(value)) / most}%`
    return bar
  }))
  return [element("p", { class: "large" }, say("embedding_size", { size: number(values.length) })), picture,
    element("p", { class: "quiet" }, say("embedding_norm", { norm: number(norm, 3) }))]
}

function tensors(result) {
  const head = ["name", "shape", "datatype"].map((name) => element("th", { scope: "col" }, say(name)))
  const rows = result.outputs.map((output) => element("tr", {}, element("th", { scope: "row" }, output.name),
    element("td", { class: "code-like" }, output.shape.join(" × ")), element("td", { class: "code-like" }, output.datatype)))
  return [element("div", { class: "table", tabindex: "0", role: "region", "aria-label": say("tensors") },
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)))]
}

/** The answer as it came, with long texts and lists cut; written when it is looked at. */
function raw(answer) {
  const text = element("pre", { tabindex: "0" })
  const details = element("details", { class: "raw" }, element("summary", {}, say("raw")), element("div", { class: "code" }, text))
  details.addEventListener("toggle", () => (text.textContent = JSON.stringify(answer, shortened, 2)), { once: true })
  return details
}

function shortened(key, value) {
  if (typeof value === "string" && value.length > LONGEST_TEXT) return `${value.slice(0, LONGEST_TEXT)}… (${value.length})`
  if (Array.isArray(value) && value.length > LONGEST_LIST) return [...value.slice(0, LONGEST_LIST), `… (${value.length})`]
  return value
}
