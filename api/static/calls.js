// The same call as curl, Python and JavaScript, to copy.

import { root } from "./ask.js"
import { element, find } from "./dom.js"
import { key } from "./store.js"
import { say } from "./words.js"

const PLAIN_NAME = /^[\p{L}\p{N}_][\p{L}\p{N}._-]*$/u // what needs no quoting in any of the three
const SHELL_SAFE = /^[A-Za-z0-9_@%+=:,./-]+$/
let shown = "curl"
let current = {}

/** Show the call of this model with an image of this name and further fields. */
export function showCalls(model, imageName, fields) {
  current = callsOf(model, PLAIN_NAME.test(imageName) ? imageName : "image.jpg", fields)
  const tabs = find("calls").querySelector(".tabs")
  tabs.replaceChildren(...Object.keys(current).map((name) => tab(name)))
  find("key-note").hidden = !key.get()
  find("calls").hidden = false
  select(shown)
}

function callsOf(model, file, fields) {
  const values = { model_type: model, ...fields }
  const url = `${location.origin}${root}/predict`
  const query = `${url}?${new URLSearchParams(values)}`
  const withKey = Boolean(key.get())
  return {
    curl: curl(url, values, file, withKey), Python: python(query, file, withKey), JavaScript: script(query, withKey),
  }
}

const quoted = (text) => (SHELL_SAFE.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

function curl(url, values, file, withKey) {
  const fields = Object.entries(values).map(([name, value]) => `-F ${quoted(`${name}=${value}`)}`)
  const header = withKey ? ['-H "X-API-Key: $PUNNET_KEY"'] : []
  return ["curl", ...header, ...fields, `-F ${quoted(`img_file=@${file}`)}`, quoted(url)].join(" ")
}

function python(query, file, withKey) {
  const header = withKey ? ', "X-API-Key": os.environ["PUNNET_KEY"]' : ""
  return `import json${withKey ? ", os" : ""}, urllib.request

with open(${JSON.stringify(file)}, "rb") as image:
    call = urllib.request.Request(
        ${JSON.stringify(query)},
        image.read(), {"Content-Type": "application/octet-stream"${header}})
print(json.load(urllib.request.urlopen(call)))`
}

function script(query, withKey) {
  const header = withKey ? ',\n  headers: {"X-API-Key": PUNNET_KEY}' : ""
  return `const image = document.querySelector("input[type=file]").files[0]
const answer = await fetch(${JSON.stringify(query)}, {
  method: "POST", body: image${header}})
console.log(await answer.json())`
}

function tab(name) {
  const node = element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "call" }, name)
  node.addEventListener("click", () => select(name))
  node.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!step) return
    const names = Object.keys(current)
    select(names[(names.indexOf(name) + step + names.length) % names.length])
    find(`tab-${shown}`).focus()
  })
  return node
}

function select(name) {
  shown = name
  for (const each of find("calls").querySelectorAll("[role=tab]")) {
    each.setAttribute("aria-selected", each.id === `tab-${name}`)
    each.tabIndex = each.id === `tab-${name}` ? 0 : -1
  }
  find("call").setAttribute("aria-labelledby", `tab-${name}`)
  find("call").querySelector("pre").textContent = current[name]
}

export function wireCalls() {
  find("copy").addEventListener("click", async (event) => {
    await copied(current[shown])
    event.target.textContent = say("copied")
    setTimeout(() => (event.target.textContent = say("copy_code")), 1500)
  })
}

/** Browsers lend a page the clipboard over https or on localhost only. */
async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  getSelection().selectAllChildren(find("call").querySelector("pre"))
  return document.execCommand("copy")
}
