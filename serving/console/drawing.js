/* Puts pictures and tables of the server into the page, and lets through only what is on a list. */
const SVG = "http://www.w3.org/2000/svg";
const XHTML = document.documentElement.namespaceURI;
const words = text => new Set(text.split(" "));
const ELEMENTS = {
  [SVG]: words("svg g a title text rect path line circle polygon polyline defs pattern"),
  [XHTML]: words("div p span strong small bdi ul li h4 a table caption thead tbody tr th td"),
};
const ATTRIBUTES = words("class role aria-label tabindex href viewBox width height x y x1 x2 y1 y2 rx r cx cy d"
  + " points stroke-width fill id patternUnits title scope data-head");

/** Make elements of XML that the server has drawn; a link may only lead to this page. */
export function drawn(xml) {
  const root = new DOMParser().parseFromString(xml, "application/xml").documentElement;
  if (!isKnown(root)) throw new Error("The answer of the server holds no picture.");
  for (const one of [root, ...root.querySelectorAll("*")]) {
    if (!isKnown(one)) one.remove();
    else for (const {name, value} of [...one.attributes])
      if (!ATTRIBUTES.has(name) || !isSafe(name, value)) one.removeAttribute(name);
  }
  return document.adoptNode(root);
}

const isKnown = one => ELEMENTS[one.namespaceURI] !== undefined && ELEMENTS[one.namespaceURI].has(one.localName);
const isSafe = (name, value) => name === "href" ? /^\?list=/.test(value)
  : name === "fill" ? /^url\(#[a-z-]+\)$/.test(value) : name === "id" ? /^[a-z]+-(hatch|dots)$/.test(value) : true;

/** Let the ways of the node stand out that the pointer or the focus is on. */
export function highlight(picture) {
  const off = () => {
    picture.classList.remove("dim");
    for (const one of picture.querySelectorAll(".lit")) one.classList.remove("lit");
  };
  const on = event => {
    const node = event.target.closest(".node"), named = node && /\bn(\d+)\b/.exec(node.getAttribute("class"));
    off();
    if (!named) return;
    picture.classList.add("dim");
    for (const one of picture.querySelectorAll(`.f${named[1]}, .t${named[1]}`)) one.classList.add("lit");
  };
  picture.addEventListener("pointerover", on);
  picture.addEventListener("focusin", on);
  picture.addEventListener("pointerleave", off);
  picture.addEventListener("focusout", off);
}
