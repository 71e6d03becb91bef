// The job under way, and the last jobs, which stay after a reload.

import { ask, root } from "./ask.js"
import { element, find } from "./dom.js"
import { cancel } from "./follow.js"
import { jobs } from "./store.js"
import { clock, duration, say } from "./words.js"

const MOST_LISTED = 100 // by one answer of the server

/** Where a job stands: its place in the line or a bar, what is left, and a way to end it. */
export function showJob(job, problem) {
  const box = find("job")
  if (box.dataset.id !== job.id) box.replaceChildren(...partsOf(job, problem))
  box.dataset.id = job.id
  box.hidden = false
  const { done, total } = job.progress
  const bar = box.querySelector("progress")
  if (job.state === "processing") Object.assign(bar, { max: total, value: done })
  else bar.removeAttribute("value")
  box.querySelector(".job-state").textContent = say(job.state === "queued" ? "queued" : "processing")
  box.querySelector(".job-details").textContent = [
    job.state === "queued" && job.queue_position ? say("place", { place: job.queue_position }) : "",
    job.state === "processing" && total > 1 ? say("tiles_done", { done, total }) : "",
    job.eta_s === null ? "" : say("eta", { time: duration(job.eta_s) }),
  ].filter(Boolean).join(" · ")
}

export function hideJob() {
  find("job").hidden = true
  delete find("job").dataset.id
}

function partsOf(job, problem) {
  const stop = element("button", { type: "button", id: "cancel" }, say("cancel"))
  stop.addEventListener("click", () => {
    stop.disabled = true
    cancel(job).catch(problem)
  })
  return [element("p", { class: "job-state" }), element("progress", { "aria-label": say("progress") }),
    element("div", { class: "row" }, element("p", { class: "job-details quiet" }), stop)]
}

/** List the jobs that this browser remembers; `open` is called with one to show. */
export async function listJobs(open) {
  const known = jobs.all()
  const rows = known.map((job) => rowOf(job, open))
  find("jobs").querySelector("ul").replaceChildren(...rows)
  find("jobs").hidden = !known.length
  if (!known.length) return
  try {
    const { jobs: listed } = await (await ask(`${root}/jobs?limit=${MOST_LISTED}`)).json()
    known.forEach((job, index) => showState(rows[index], listed.find((each) => each.id === job.id)?.state ?? "gone"))
  } catch {
    // How they stand cannot be told while the server or its queue is away; the list is there.
  }
}

function rowOf(job, open) {
  const button = element("button", { type: "button", class: "plain" }, element("strong", {}, job.model), ` ${job.name}`)
  button.addEventListener("click", () => open(job))
  return element("li", {}, button, element("time", { class: "quiet" }, clock(job.at)), element("span", { class: "state" }))
}

function showState(row, state) {
  const chip = row.querySelector(".state")
  chip.textContent = say(`job_${state}`)
  chip.className = `state ${state}`
}
