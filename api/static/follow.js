// Follows a job to its end: by its events, or where those do not come through, by asking again and again.

import { ask } from "./ask.js"

const ENDED = ["succeeded", "failed", "canceled"]
const POLL_S = 2
const AGAIN_MS = 1000

export const hasEnded = (job) => ENDED.includes(job.state)

/** The job document at its end; `changed` is called with each one before. */
export async function follow(job, changed, signal) {
  let known = job
  changed(known)
  if (known.urls.events && !hasEnded(known)) {
    for await (known of events(known.urls.events, signal)) {
      changed(known)
      if (hasEnded(known)) break
    }
  }
  return hasEnded(known) ? known : polled(known, changed, signal)
}

export const cancel = async (job) => (await ask(job.urls.cancel, { method: "DELETE" })).json()

async function polled(job, changed, signal) {
  const url = job.urls.get
  let known = await (await ask(url, { signal })).json()
  while (!hasEnded(known)) {
    changed(known)
    const before = Date.now()
    known = await (await ask(`${url}?wait=${POLL_S}`, { signal })).json()
    if (!hasEnded(known)) await pause(AGAIN_MS - (Date.now() - before), signal) // a server at its limit does not wait
  }
  return known
}

/** The data of Server-Sent Events. EventSource cannot send a key, so the stream is read here. */
async function* events(url, signal) {
  let left = ""
  try {
    const answer = await ask(url, { accept: "text/event-stream", signal })
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      const messages = (left + piece.value).replaceAll("\r\n", "\n").split("\n\n")
      left = messages.pop()
      for (const message of messages) {
        const data = message.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5))
        if (data.length) yield JSON.parse(data.join("\n"))
      }
    }
  } catch (error) {
    if (signal.aborted) throw error // otherwise the caller asks in the other way
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.max(0, ms))
    signal?.addEventListener("abort", () => {
      clearTimeout(timer)
      reject(new DOMException("", "AbortError"))
    })
  })
}
