// All clips as signs in a plane; a sign is a button, all of them one tab stop.
const SIGNS = ["M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0", "M-4.5-4.5h9v9h-9z", "M0-6.2L6.2 0 0 6.2-6.2 0z", "M0-5.8L5.6 4.4h-11.2z",
  "M-5.5-2h3.5v-3.5h4v3.5h3.5v4h-3.5v3.5h-4v-3.5h-3.5z", "M0 5.8L-5.6-4.4h11.2z", "M-5-5L0-2 5-5 2 0 5 5 0 2-5 5-2 0z"];
const SVG = "http://www.w3.org/2000/svg";
function drawn(tag, attributes, parent) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent?.append(element);
  return element;
}
class Plane {
  constructor(svg, clips, names, places, pressed) {
    Object.assign(this, {svg, clips, places, shown: null});
    drawn("line", {x1: -135, x2: 135, y1: 0, y2: 0}, svg);
    drawn("line", {y1: -135, y2: 135, x1: 0, x2: 0}, svg);
    this.points = clips.map((clip, i) => {
      const point = drawn("g", {role: "button", tabindex: i ? -1 : 0, class: "label-" + clip.label,
        "aria-label": `${clip.name}, ${names[clip.label]}`}, svg);
      drawn("title", {}, point).textContent = clip.name;
      drawn("path", {d: SIGNS[clip.label % SIGNS.length]}, point);
      point.addEventListener("click", () => pressed(i));
      return point;
    });
    svg.addEventListener("keydown", event => {
      const at = this.points.indexOf(document.activeElement), n = this.points.length;
      const move = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (at >= 0 && move) this.focus((at + move + n) % n);
      else if (at >= 0 && (event.key === "Enter" || event.key === " ")) pressed(at);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }
  focus(i) {
    this.points.forEach((point, k) => point.setAttribute("tabindex", k === i ? 0 : -1));
    this.points[i].focus();
  }
  // `from` is where the places of a branch, layer and bin begin.
  show(from) {
    if (from === this.shown) return;
    this.shown = from;
    this.points.forEach((point, i) => {
      const [x, y] = [this.places[from + 2 * i], this.places[from + 2 * i + 1]];
      point.setAttribute("transform", `translate(${x} ${-y})`);
    });
  }
  choose(one, other) {
    this.points.forEach((point, i) => {
      point.classList.toggle("chosen", i === one);
      point.classList.toggle("beside", i === other && i !== one);
    });
  }
}
