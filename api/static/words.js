// What the page says, in the language that the server chose, and numbers in that language.

const texts = JSON.parse(document.documentElement.dataset.texts)
const language = document.documentElement.lang

/** The text of this name, with its {braces} filled in. */
export function say(name, values = {}) {
  return (texts[name] ?? name).replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole)
}

/** Whether there is such a text: tasks and phases that the server has and this page does not know keep their names. */
export const has = (name) => name in texts

/** What went wrong, by a problem document: in the page's own words where it knows the type, else in the server's. */
export function problemTitle({ type = "", title }) {
  const name = `problem_${type.split("/").pop()}`
  return has(name) ? say(name) : title || say("trouble")
}

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value)

/** Neither 99.7 % as all, nor 0.3 % as nothing. */
export function percent(score) {
  const digits = score > 0.99 && score < 1 ? 1 : score > 0 && score < 0.01 ? 2 : 0
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: digits }).format(score)
}

export const milliseconds = (ms) => `${number(ms, ms < 10 ? 1 : 0)} ms`

export const fileSize = (bytes) =>
  bytes < 1e6 ? `${number(Math.ceil(bytes / 1e3))} kB` : `${number(bytes / 1e6, 1)} MB`

export function duration(seconds) {
  return seconds < 90 ? say("seconds", { seconds: Math.max(1, Math.round(seconds)) })
    : say("minutes", { minutes: Math.round(seconds / 60) })
}

export const clock = (time) =>
  new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" }).format(new Date(time))
