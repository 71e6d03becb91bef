// The page to try a model: an image in, its answer drawn on it. The other files here are its parts.

import { ask, post, Refused, root } from "./ask.js"
import { showCalls, wireCalls } from "./calls.js"
import { element, find } from "./dom.js"
import { Figure } from "./figure.js"
import { follow, hasEnded } from "./follow.js"
import { hideJob, listJobs, showJob } from "./jobs.js"
import { askForKey, unlocked } from "./key.js"
import { wireModels } from "./models.js"
import { showResult } from "./panel.js"
import { loaded, pictureOf } from "./picture.js"
import { wireImages, wireSamples } from "./images.js"
import { colorsOf, shapesOf, taskName, textOf } from "./shapes.js"
import { jobs } from "./store.js"
import { showTimings } from "./timings.js"
import { fileSize, number, percent, say } from "./words.js"

const LEAST = 0.1 // is asked of detectors, so that the slider can also go below the model's own threshold
const WITHOUT_IMAGE = ["depth-estimation", "image-to-image"] // their result is an image itself
const DRAWABLE = ["image-classification", "object-detection", "keypoint-detection", "image-segmentation"]
let figure, models
let current = null // { blob, name, picture } of the chosen image
let underWay = new AbortController()

if (await unlocked()) start()
else askForKey(start)

function start() {
  if (!find("try")) return
  figure = new Figure(find("frames"))
  const samples = () => wireSamples(choose, models.select, fail)
  models = wireModels(() => current && run(), samples)
  wireImages(choose, fail)
  samples()
  wireCalls()
  find("again").addEventListener("click", run)
  find("forget-jobs").addEventListener("click", () => {
    jobs.clear()
    listJobs(reopen)
  })
  listJobs(reopen)
}

/** A new image: show it, and ask. */
async function choose(blob, name) {
  begin()
  current?.picture?.release()
  current = { blob, name, picture: null }
  tell(say("preparing"))
  const chosen = current
  const picture = await pictureOf(blob)
  if (current !== chosen) return picture?.release()
  current.picture = picture
  figure.show(...(picture ? [picture] : []))
  stage(name, blob.size)
  run()
}

/** Ask the chosen model about the chosen image. */
async function run() {
  const model = models.chosen()
  if (!model) return fail(new Error(say("choose_ready")))
  const signal = begin()
  if (current.picture) figure.clear()
  else standIn("no_preview_yet")
  try {
    const asked = model.threshold === null ? {} : { threshold: Math.min(LEAST, model.threshold) }
    const { status, body } = await post({ model_type: model.name, ...asked }, current.blob, { signal, sent: telling() })
    const document = JSON.parse(await body.text())
    if (status === 202) jobs.add({ id: document.id, model: model.name, name: current.name, at: Date.now() })
    const answer = status === 202 ? await end(document, signal) : document
    if (answer) await present(answer, model, signal)
    else if (!current.picture) standIn("no_preview_file")
  } catch (error) {
    if (!signal.aborted && !current.picture) standIn("no_preview_file")
    fail(error)
  }
}

/** The end of a job: its document, or null where it was canceled. */
async function end(job, signal) {
  listJobs(reopen)
  tell("")
  const ended = await follow(job, (news) => !signal.aborted && !hasEnded(news) && showJob(news, fail), signal)
  hideJob()
  listJobs(reopen)
  if (ended.state === "failed") throw new Refused(ended.status, ended.error)
  if (ended.state === "canceled") tell(say("canceled"))
  return ended.state === "canceled" ? null : ended
}

/** A job that was posted before: its image is not here any more, so the server draws. */
async function reopen({ id, model, name }) {
  const signal = begin()
  current?.picture?.release()
  current = null
  figure.show()
  stage(name)
  models.select(model)
  try {
    const answer = await end(await (await ask(`${root}/jobs/${id}`, { signal })).json(), signal)
    if (answer) await present(answer, models.chosen() ?? { name: model, threshold: null }, signal)
  } catch (error) {
    fail(error)
  }
}

/** Draw the answer, and tell it beside and below the image. */
async function present(answer, model, signal) {
  const { result } = answer
  const size = answer.image
  const isDrawn = await settlePicture(answer, model, signal)
  const shapes = figure.frame ? await shapesOf(result, size, colorsOf(result.tiles ?? result.predictions ?? [])) : []
  if (signal.aborted) return
  if (figure.frame) figure.draw(shapes, isDrawn)
  showTimings(answer.timings_ms)
  showResult(answer, { threshold: model.threshold ?? 0, figure, changed: (seen, count, least) => {
    figure.filter((each) => seen(each.prediction))
    tell(summary(result, count))
    showCalls(model.name, current?.name ?? "", model.threshold === null && !least ? {} : { threshold: least })
  } })
  if (!("predictions" in result) || result.task === "image-classification") {
    tell(summary(result))
    showCalls(model.name, current?.name ?? "", {})
  }
}

/** Have the right image in the figure; true where the server drew on it already. */
async function settlePicture(answer, model, signal) {
  const { result, image: size } = answer
  const own = current?.picture
  const fits = own && own.width === size.width && own.height === size.height
  if (result.task === "image-to-image") {
    const made = await loaded(element("img", { alt: say("produced") }), result.image)
    const produced = { node: made, width: made.naturalWidth, height: made.naturalHeight, name: say("produced") }
    figure.show(...(fits ? [{ ...own, name: say("posted") }] : []), produced)
    return true
  }
  if (fits) figure.show(own)
  else if (WITHOUT_IMAGE.includes(result.task)) figure.show({ node: element("div", { class: "empty" }), ...size })
  else if (DRAWABLE.includes(result.task)) {
    figure.show({ node: await drawing(answer, model, signal), ...size })
    note(say(current ? "drawn_by_server" : "drawn_from_job"))
    return true
  } else if (current && !own) standIn("no_preview")
  return false
}

/** The answer drawn by the server, for an image that this browser cannot show or does not have. */
async function drawing(answer, model, signal) {
  const blob = answer.urls
    ? await (await ask(answer.urls.result, { accept: "image/jpeg", signal })).blob()
    : (await post({ model_type: model.name, mode: "sync" }, current.blob, { accept: "image/jpeg", signal })).body
  const picture = await pictureOf(blob)
  picture.node.alt = say("drawn_image")
  return picture.node
}

/** A text where the image would be. */
function standIn(text) {
  figure.show({ node: element("div", { class: "empty nothing" }, say(text)), width: 480, height: 320 })
}

// What is told

function begin() {
  underWay.abort()
  underWay = new AbortController()
  for (const id of ["problem", "timings", "calls"]) find(id).hidden = true
  find("result").replaceChildren()
  hideJob()
  return underWay.signal
}

const tell = (text) => (find("status").textContent = text)

function telling() {
  tell(say("sending"))
  return (share) => tell(share < 1 ? `${say("sending")} ${percent(share)}` : say("computing"))
}

function stage(name, bytes) {
  find("drop").hidden = true
  find("shown").hidden = false
  find("again").disabled = !current
  find("caption").replaceChildren(element("strong", {}, name), element("span", { class: "quiet" }, bytes ? ` ${fileSize(bytes)}` : ""))
}

const note = (text) => find("caption").append(element("span", { class: "quiet note" }, text))

function summary(result, count = 0) {
  if (result.task === "image-classification") return result.predictions.length ? textOf(result.predictions[0]) : say("found_nothing")
  if (!("predictions" in result)) return taskName(result.task)
  if (!count) return say(result.predictions.length ? "found_none_above" : "found_nothing")
  return count === 1 ? say("found_one") : say("found_many", { count: number(count) })
}

function fail(error) {
  if (error.name === "AbortError") return
  hideJob()
  tell("")
  const isTold = "title" in error
  find("problem").replaceChildren(
    element("h3", {}, error.title ?? say("trouble")),
    element("p", { lang: error.language }, isTold ? error.message : say("unexpected", { reason: error.message })),
    error.requestId ? element("p", { class: "quiet" }, say("request_id", { id: error.requestId })) : "")
  find("problem").hidden = false
}
