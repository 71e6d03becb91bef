// The reference of this server, with the key of this tab where the server needs one.

import { key } from "../../static/store.js"

const root = document.documentElement.dataset.root
const find = (id) => document.getElementById(id)
const isKey = (text) => /^[!-~]+$/.test(text)
const withKey = () => (key.get() ? { "X-API-Key": key.get() } : {})

document.documentElement.classList.toggle("dark-mode", matchMedia("(prefers-color-scheme: dark)").matches)

/** The description, or null where the key is missing or not good. */
async function described() {
  const answer = await fetch(`${root}/openapi.json`, { headers: withKey() })
  if (answer.status === 401) return null
  if (!answer.ok) throw new Error((await answer.json()).detail)
  return answer.json()
}

function show(spec) {
  find("key-form").hidden = true
  const ui = window.SwaggerUIBundle({
    spec,
    domNode: find("reference"),
    deepLinking: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    onComplete: () => key.get() && ui.preauthorizeApiKey("header", key.get()),
  })
}

async function open() {
  try {
    const spec = await described()
    find("key-form").hidden = spec !== null
    find("problem").textContent = spec === null && key.get() ? "The server does not know this key." : ""
    if (spec !== null) show(spec)
  } catch (error) {
    find("problem").textContent = `The reference cannot be read: ${error.message}`
  }
}

find("key-form").addEventListener("submit", (event) => {
  event.preventDefault()
  const given = find("key").value.trim()
  key.set(isKey(given) ? given : "")
  find("problem").textContent = "A key consists of visible ASCII characters."
  if (isKey(given)) open()
})
open()
