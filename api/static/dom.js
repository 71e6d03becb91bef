// Makes elements. Whatever comes from files, models or the server becomes text or an attribute here, never markup.

const SVG = "http://www.w3.org/2000/svg"

/** An element with attributes, and children that are nodes or texts. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children)
}

export function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children)
}

export const find = (id) => document.getElementById(id)

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value)
  }
  node.append(...children.filter((child) => child !== null && child !== undefined))
  return node
}
