// Where the time went: a bar with a part for each phase.

import { element, find } from "./dom.js"
import { has, milliseconds, say } from "./words.js"

/** Show `timings_ms` of an answer; what no phase accounts for is the rest. */
export function showTimings(timings) {
  const section = find("timings")
  const { total, ...phases } = timings
  const named = Object.entries(phases)
  const rest = total - named.reduce((sum, [, ms]) => sum + ms, 0)
  if (rest > 0) named.push(["rest", rest])
  section.querySelector(".bar").replaceChildren(...named.map(([phase, ms]) => part(phase, ms)))
  section.querySelector("dl").replaceChildren(...named.map(([phase, ms]) => line(phase, ms)), line("total", total))
  section.hidden = false
}

function part(phase, ms) {
  const node = element("span", { class: `phase-${phase}` })
  node.style.flexGrow = Math.max(0, ms)
  return node
}

function line(phase, ms) {
  const name = has(`phase_${phase}`) ? say(`phase_${phase}`) : phase
  return element("div", { class: `phase-${phase}` }, element("dt", {}, name), element("dd", {}, milliseconds(ms)))
}
