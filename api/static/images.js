// The ways in which an image comes to the page: dropped, pasted, chosen, taken, or one of the samples.

import { ask } from "./ask.js"
import { find } from "./dom.js"
import { say } from "./words.js"

/** `choose` is called with an image's file and name. */
export function wireImages(choose, fail) {
  const give = (file) => (file ? choose(file, file.name || "image") : fail(Object.assign(new Error(say("not_an_image")), { title: say("trouble") })))
  for (const id of ["file", "camera"]) {
    find(id).addEventListener("change", (event) => {
      if (event.target.files.length) give(event.target.files[0])
      event.target.value = "" // so that the same file can be chosen again
    })
  }
  find("another").addEventListener("click", () => find("file").click())
  wireDrop(give)
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files][0]
    if (file) give(file)
  })
}

/** A file may be dropped anywhere: beside the frame the browser would leave the page to show it. */
function wireDrop(give) {
  const over = (isOver) => document.body.classList.toggle("over", isOver)
  document.addEventListener("dragover", (event) => {
    event.preventDefault()
    over(true)
  })
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && over(false))
  document.addEventListener("drop", (event) => {
    event.preventDefault()
    over(false)
    give(event.dataTransfer.files[0])
  })
}

/** Samples are asked for with the key, which an <img> cannot send; `select` is called with the model that one is for. */
export function wireSamples(choose, select, fail) {
  for (const button of document.querySelectorAll(".sample")) {
    const { sample, name, model } = button.dataset
    const file = ask(sample, { accept: "image/jpeg" }).then((answer) => answer.blob())
    file.then((blob) => show(button.querySelector("img"), blob)).catch(() => (button.disabled = true))
    button.addEventListener("click", () => file.then((blob) => {
      select(model)
      choose(blob, name)
    }).catch(fail))
  }
}

function show(image, blob) {
  image.src = URL.createObjectURL(blob)
  image.hidden = false
}
