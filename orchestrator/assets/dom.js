// Elements from code. Text is always a text node: what users wrote can never become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "css") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name in element && ["value", "checked", "selected", "disabled", "open", "htmlFor"].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of HTML. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An element of SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

const SCROLLED = ".scroll[aria-label], .log[aria-label]";
const FOCUSED = "[data-key], [data-axis], [aria-label], [href], summary, button";

const foldKey = (fold) => fold.dataset.key ?? fold.firstElementChild?.textContent;

/** By what something is found again when it was drawn anew. */
function keyOf(element) {
  if (element.tagName === "SUMMARY") return `fold ${foldKey(element.parentElement)}`;
  const { key, axis } = element.dataset ?? {};
  return key ?? axis ?? element.getAttribute("aria-label") ?? element.getAttribute("href") ?? (element.tagName === "BUTTON" ? element.textContent : null);
}

/** Replaces what is inside. What a reader has done to it stays: the focus, open details, what is scrolled. */
export function put(root, ...children) {
  const used = document.activeElement;
  const key = used !== root && root.contains(used) ? keyOf(used) : null;
  // Several may be called the same: then the place among them tells.
  const alike = () => [...root.querySelectorAll(FOCUSED)].filter((element) => keyOf(element) === key);
  const at = key === null ? -1 : alike().indexOf(used);
  const folds = new Map([...root.querySelectorAll("details")].map((fold) => [foldKey(fold), fold.open]));
  const places = new Map([...root.querySelectorAll(SCROLLED)].map((part) => [part.getAttribute("aria-label"), [part.scrollLeft, part.scrollTop]]));
  root.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  if (folds.size) {
    for (const fold of root.querySelectorAll("details")) fold.open = folds.get(foldKey(fold)) ?? fold.open;
  }
  if (places.size) {
    for (const part of root.querySelectorAll(SCROLLED)) [part.scrollLeft, part.scrollTop] = places.get(part.getAttribute("aria-label")) ?? [0, 0];
  }
  if (at >= 0) {
    const found = alike();
    (found[at] ?? found[0])?.focus({ preventScroll: true });
  }
}

/** Replaces controls; not on news, while somebody uses one of them. */
export function putControls(root, news, ...children) {
  const used = root.contains(document.activeElement) && ["SELECT", "INPUT"].includes(document.activeElement.tagName);
  if (!(news && used)) put(root, ...children);
}

/** Says something to people who do not see the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}
