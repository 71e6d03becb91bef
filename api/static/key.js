// Where the server needs a key, the page comes without models first; with the key it is asked for again.

import { root } from "./ask.js"
import { find } from "./dom.js"
import { key } from "./store.js"
import { say } from "./words.js"

/** Whether the page is complete now: no key is needed, or the one of this tab is good. */
export async function unlocked() {
  find("forget-key").addEventListener("click", forget)
  const form = find("key-form")
  if (form && key.get() && !(await complete(key.get()))) key.set("")
  find("forget-key").hidden = !key.get()
  return !find("key-form")
}

/** Ask for a key, and call `opened` once one was good. */
export function askForKey(opened) {
  const form = find("key-form")
  form.addEventListener("submit", async (event) => {
    event.preventDefault()
    const given = find("key").value.trim()
    const isKey = /^[!-~]+$/.test(given)
    if (!isKey || !(await complete(given))) {
      find("key-problem").textContent = say(isKey ? "key_wrong" : "key_malformed")
      find("key").setAttribute("aria-invalid", "true")
      find("key").focus()
      return
    }
    key.set(given)
    find("forget-key").hidden = false
    find("content").focus()
    opened()
  })
}

/** This page with the key: its content takes the place of the form. False for a key that is not good. */
async function complete(given) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-API-Key": given } })
  if (answer.status === 401) return false
  const page = new DOMParser().parseFromString(await answer.text(), "text/html")
  find("content").replaceChildren(...page.getElementById("content").childNodes)
  document.title = page.title
  return true
}

function forget() {
  key.set("")
  location.assign(`${root}/`)
}
