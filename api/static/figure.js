// The frames in which images are shown, and over one of them what was found: lines that stay thin at any size, a tag
// where it covers less than it explains, and the one that the pointer or the keyboard is at.

import { element, shape } from "./dom.js"

const SMALLEST_PX = 320 // on the screen, for an image of a few pixels
const ENLARGED = 4
const LOW_PX = 160 // on the screen: above what is not higher the label stands, so that it covers nothing of it
const MOST_TAGS = 60
const CROWD = 100 // from so many on, lines are thinner
const TAG_SHARE = 0.45 // of its box's height that a tag may cover

export class Figure {
  constructor(frames) {
    this.frames = frames
    this.shapes = []
    this.isSeen = () => true
    this.unit = 1
    this.resized = new ResizeObserver(() => this.fit())
  }

  /** Nothing but these images, each { node, width, height, name }; what is found is drawn on the first. */
  show(...pictures) {
    this.resized.disconnect()
    this.clear()
    this.frames.replaceChildren(...pictures.map((picture) => this.framed(picture)))
    this.frames.classList.toggle("several", pictures.length > 1)
    this.frame = this.frames.firstElementChild
    if (!this.frame) return
    const { width, height } = pictures[0]
    this.svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" })
    this.tags = element("div", { class: "tags", "aria-hidden": "true" })
    this.tip = element("div", { class: "tip", "aria-hidden": "true", hidden: true })
    this.frame.append(this.svg, this.tags, this.tip)
    this.width = width
    this.frame.addEventListener("pointermove", (event) => this.point(event))
    this.frame.addEventListener("pointerleave", () => this.mark(null))
    this.resized.observe(this.frame)
  }

  framed({ node, width, height, name }) {
    const frame = element("div", { class: "frame" }, node, name ? element("p", { class: "frame-name" }, name) : null)
    const widest = Math.max(SMALLEST_PX, width * ENLARGED)
    frame.style.aspectRatio = `${width} / ${height}`
    frame.style.maxWidth = `min(100%, ${widest}px, max(12rem, calc(76vh * ${width / height})))`
    node.classList?.toggle("coarse", width < SMALLEST_PX / 2)
    return frame
  }

  clear() {
    this.shapes = []
    this.svg?.replaceChildren()
    this.tags?.replaceChildren()
    this.mark(null)
  }

  /** Draw shapes; `isDrawn`: the image shows them already, and they are only pointed at. */
  draw(shapes, isDrawn = false) {
    this.clear()
    this.shapes = shapes
    this.svg.classList.toggle("drawn", isDrawn)
    this.svg.classList.toggle("crowded", shapes.length > CROWD)
    const inOrder = [...shapes].sort((one, other) => other.area - one.area) // small ones stay in sight
    this.svg.append(...inOrder.flatMap((each) => each.nodes))
    const tagged = isDrawn ? [] : shapes.filter((each) => each.box && each.text)
    for (const each of tagged.slice(0, MOST_TAGS)) this.tags.append((each.tag = this.tagOf(each)))
    this.fit()
  }

  tagOf({ box, text, color }) {
    const tag = element("span", {}, text)
    tag.style.backgroundColor = color
    tag.style.left = `${(box.xmin / this.width) * 100}%`
    tag.style.top = `${(box.ymin / this.svg.viewBox.baseVal.height) * 100}%`
    return tag
  }

  /** Show the shapes for which this is true, at once. */
  filter(isSeen) {
    this.isSeen = isSeen
    for (const each of this.shapes) {
      for (const node of each.nodes) node.classList.toggle("out", !isSeen(each))
    }
    this.fit()
  }

  fit() {
    if (!this.frame?.clientWidth) return
    this.unit = this.width / this.frame.clientWidth
    this.svg.style.setProperty("--unit", this.unit)
    const seen = this.shapes.filter((each) => each.tag)
    const sizes = seen.map(({ tag }) => [tag.offsetWidth, tag.offsetHeight])
    seen.forEach((each, index) => {
      const [width, height] = [each.box.xmax - each.box.xmin, each.box.ymax - each.box.ymin].map((side) => side / this.unit)
      const fits = sizes[index][0] <= width && sizes[index][1] <= height * TAG_SHARE
      each.tag.classList.toggle("out", !fits || !this.isSeen(each))
    })
  }

  point(event) {
    const place = this.frame.getBoundingClientRect()
    const x = (event.clientX - place.left) * this.unit
    const y = (event.clientY - place.top) * this.unit
    const under = this.shapes.filter((each) => this.isSeen(each) && each.hit(x, y))
    const smallest = under.reduce((best, each) => (best && best.area <= each.area ? best : each), null)
    const isLow = smallest && smallest.box.ymax - smallest.box.ymin < LOW_PX * this.unit
    this.mark(smallest, { x, y, top: isLow ? smallest.box.ymin : y })
  }

  /** Show one shape before the others, with its label beside a place { x, y, top } in pixels of the image. */
  mark(marked, place) {
    if (this.marked !== marked) {
      for (const node of this.marked?.nodes ?? []) node.classList.remove("on")
      for (const node of marked?.nodes ?? []) node.classList.add("on")
      this.svg?.classList.toggle("marking", Boolean(marked))
    }
    this.marked = marked
    if (!this.tip) return
    this.tip.hidden = !marked
    if (!marked) return
    const at = place ?? { x: (marked.box.xmin + marked.box.xmax) / 2, y: marked.box.ymin, top: marked.box.ymin }
    this.tip.textContent = marked.tell(at.x, at.y, this.unit)
    this.tip.classList.toggle("under", at.top / this.unit < 48)
    this.tip.style.left = `${Math.min(this.frame.clientWidth - 8, Math.max(8, at.x / this.unit))}px`
    this.tip.style.top = `${at.top / this.unit}px`
  }
}
