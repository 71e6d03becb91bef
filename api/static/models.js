// The choice of a model. While one is loading the list is asked for again.

import { find } from "./dom.js"
import { key } from "./store.js"
import { taskName } from "./shapes.js"

const AGAIN_MS = 2000

/** `changed` is called when another model is chosen, `renewed` when there are other samples. */
export function wireModels(changed, renewed) {
  const choose = () => {
    describe()
    changed()
  }
  const wire = () => {
    find("model")?.addEventListener("change", choose)
    describe()
    if (find("models").dataset.loading !== "0") setTimeout(refresh, AGAIN_MS)
  }
  const refresh = async () => {
    const before = find("model")?.value
    if (await replaced()) renewed()
    if (before) select(before)
    wire()
  }
  wire()
  return { chosen, select }
}

const option = () => find("model")?.selectedOptions[0]

/** The chosen model { name, task, threshold }, null where none is ready. */
function chosen() {
  const { value, disabled, dataset } = option() ?? { disabled: true }
  return disabled ? null : { name: value, task: dataset.task, threshold: dataset.threshold ? Number(dataset.threshold) : null }
}

/** False where there is no such model. */
function select(name) {
  const wanted = [...(find("model")?.options ?? [])].find((each) => each.value === name && !each.disabled)
  if (wanted) wanted.selected = true
  describe()
  return Boolean(wanted)
}

function describe() {
  const known = option()
  if (!known) return
  find("task").textContent = known.dataset.task ? taskName(known.dataset.task) : ""
  find("about").hidden = false
  find("about").href = known.dataset.about
  for (const link of document.querySelectorAll("nav [hreflang]")) {
    link.search = new URLSearchParams({ lang: link.hreflang, model: known.value }) // the choice outlives the switch
  }
}

/** Whether the choice and the samples are what the server says now. */
async function replaced() {
  const headers = { Accept: "text/html", ...(key.get() ? { "X-API-Key": key.get() } : {}) }
  try {
    const page = new DOMParser().parseFromString(await (await fetch(location.href, { headers })).text(), "text/html")
    const isPage = Boolean(page.getElementById("models"))
    const unfolded = [...document.querySelectorAll("#models details[open]")].map((details) => details.id)
    for (const id of isPage ? ["models", "samples"] : []) find(id).replaceWith(page.getElementById(id))
    for (const id of unfolded) find(id)?.setAttribute("open", "")
    return isPage
  } catch {
    return false // the server is away: the list stays, and is asked for again
  }
}
