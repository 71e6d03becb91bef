// What the browser keeps: the key as long as the tab is open, ids and names of the last jobs for longer. A browser that
// keeps nothing (some do in private windows) still shows answers.

const KEY = "punnet-key"
const JOBS = "punnet-jobs"
const MOST_JOBS = 8

function read(storage, name) {
  try {
    return storage().getItem(name)
  } catch {
    return null
  }
}

function write(storage, name, value) {
  try {
    if (value === null) storage().removeItem(name)
    else storage().setItem(name, value)
  } catch {
    // Nothing can be kept; the page works without.
  }
}

const tab = () => window.sessionStorage
const browser = () => window.localStorage
let keyInMemory = ""

export const key = {
  get: () => read(tab, KEY) ?? keyInMemory,
  set(value) {
    keyInMemory = value
    write(tab, KEY, value || null)
  },
}

/** The last jobs, newest first: id, model, name of the image, and when. */
export const jobs = {
  all() {
    try {
      const kept = JSON.parse(read(browser, JOBS) ?? "[]")
      return Array.isArray(kept) ? kept.filter((job) => /^[\w-]{1,64}$/.test(job?.id)) : []
    } catch {
      return []
    }
  },
  add: (job) => write(browser, JOBS, JSON.stringify([job, ...jobs.all()].slice(0, MOST_JOBS))),
  remove: (id) => write(browser, JOBS, JSON.stringify(jobs.all().filter((job) => job.id !== id))),
  clear: () => write(browser, JOBS, null),
}
