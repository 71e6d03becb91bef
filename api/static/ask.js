// Asks the server: with the key, where one is needed, and below the path that a proxy serves it at.

import { key } from "./store.js"
import { problemTitle, say } from "./words.js"

export const root = document.documentElement.dataset.root

/** The server refused; `message` is what its problem document says in detail, which is in English. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`)
    this.status = status
    this.title = problemTitle(problem)
    this.language = "en"
    this.requestId = problem.request_id || ""
  }
}

/** Nobody answered. */
export class Unreachable extends Error {
  constructor() {
    super(say("no_connection"))
    this.title = say("trouble")
    this.requestId = ""
  }
}

const withKey = (headers) => (key.get() ? { ...headers, "X-API-Key": key.get() } : headers)

/** An answer below 400, as fetch gives it. */
export async function ask(url, { accept = "application/json", method = "GET", signal } = {}) {
  let answer
  try {
    answer = await fetch(url, { method, signal, headers: withKey({ Accept: accept }) })
  } catch (error) {
    throw signal?.aborted ? error : new Unreachable()
  }
  if (!answer.ok) throw refusal(answer.status, await answer.text())
  return answer
}

/** Post an image; `sent` is told which share of it is on its way. fetch could not tell that. */
export function post(query, image, { accept = "application/json", sent = () => {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open("POST", `${root}/predict?${new URLSearchParams(query)}`)
    request.responseType = "blob"
    const type = image.type.startsWith("image/") ? image.type : "application/octet-stream"
    for (const [name, value] of Object.entries(withKey({ Accept: accept, "Content-Type": type }))) {
      request.setRequestHeader(name, value)
    }
    request.upload.onprogress = (event) => event.total && sent(event.loaded / event.total)
    request.onload = async () => {
      if (request.status < 400) resolve({ status: request.status, body: request.response })
      else reject(refusal(request.status, await request.response.text()))
    }
    request.onerror = () => reject(new Unreachable())
    request.onabort = () => reject(new DOMException("", "AbortError"))
    signal?.addEventListener("abort", () => request.abort())
    request.send(image)
  })
}

function refusal(status, text) {
  try {
    return new Refused(status, JSON.parse(text))
  } catch {
    return new Refused(status, {}) // a proxy's own page
  }
}
