const told = JSON.parse(document.getElementById("told").textContent);
const byId = id => document.getElementById(id), sounds = [...document.querySelectorAll(".sound")];
const {measures, branches, layers, seconds, complete, bins, clips} = told;
const L = layers.length, S = seconds.length, K = clips.length, lead = Math.max(0, complete.indexOf(1));
const labels = [...document.querySelectorAll(".sign path")].map(sign => {
  sign.setAttribute("d", SIGNS[sign.dataset.label % SIGNS.length]);
  return sign.closest("span").textContent.trim();
});
const rate = S > 1 ? (S - 1) / (seconds[S - 1] - seconds[0]) : 1;
const view = {m: 0, b: null, l: L - 1, s: Math.floor(S / 2), a: 0, o: -1, w: null};
const player = new Player(() => {
  byId("play").setAttribute("aria-pressed", String(player.playing));
  byId("play").textContent = player.playing ? "❚❚ Pause" : "▶ Play";
  for (const box of document.querySelectorAll(".clip"))
    box.setAttribute("aria-pressed", String(player.playing && sounds[box.dataset.clip] === player.chosen));
}, error => { byId("readout").textContent = "cannot play: " + error.message; });
player.ended = () => { if (view.w) player.play(sounds[view.a], seconds[view.w[0]]); };

const limit = (value, low, high) => Math.min(high, Math.max(low, value));
const at = (b, l, s) => (b * L + l) * S + s;
const short = p => Number.isNaN(p) ? "none" : p >= 1 ? "1" : String(Number(p.toPrecision(2))).replace(/^0/, "");
const digits = value => String(Number(value.toPrecision(3)));
let arrays, everything, plane, width, rows = [];

// Whether a branch has a measure; the branch that shows it, uncond before others.
const has = (m, b) => arrays[measures[m].key + "-value"].subarray(at(b, 0, 0), at(b + 1, 0, 0)).some(value => value !== MISSING);
const best = m => ["uncond", ...branches.map(one => one.name)].map(name => branches.findIndex(one => one.name === name))
  .find(b => b >= 0 && has(m, b)) ?? 0;
// While a clip plays, its second and step; else those of the cell.
const sounding = () => player.playing && player.loaded === player.chosen;
const secondNow = () => sounding() ? player.second : seconds[view.s];
const stepNow = () => sounding() ? nearest(player.second) : view.s;

// What stands in a cell, as numbers of the table.
function values(b, l, s) {
  const {key, numbers} = measures[view.m], i = at(b, l, s), read = name => counted(arrays[`${key}-${name}`][i]);
  const p = name => listed(arrays[`${key}-${name}`][i], numbers[name]);
  return {value: read("value"), low: read("low"), high: read("high"), p: p("p"), flip: p("flip")};
}
function words(b, l, s) {
  const {value, low, high, p, flip} = values(b, l, s), frame = s - lead;
  const where = `${branches[b].name}, layer ${layers[l]}, step ${s}, ${seconds[s].toFixed(2)} s` +
    (complete[s] ? `, frame ${frame}` : "");
  if (Number.isNaN(value)) return `${where}: not measured.`;
  const interval = Number.isNaN(low) ? "" : ` (${digits(low)} to ${digits(high)})`;
  const tested = Number.isNaN(p) ? "not tested" : `p ${short(p)}` + (Number.isNaN(flip) ? "" : `, sentences flipped ${short(flip)}`);
  return `${where}: ${digits(value)}${interval}, ${tested}.`;
}

// The picture: a pixel a cell, scaled without smoothing; over it hatches, and nothing where nothing is measured.
const shades = told.colours.map(colour => Number.parseInt("ff" + colour.slice(5) + colour.slice(3, 5) + colour.slice(1, 3), 16));
function paint() {
  const {key, top, most, least, meaning, name, numbers} = measures[view.m], value = arrays[key + "-value"], p = arrays[key + "-p"];
  rows.forEach(({colours, hatches, lacks}, b) => {
    lacks.textContent = has(view.m, b) ? "" : " · not measured";
    const image = new ImageData(S, L), pixels = new Uint32Array(image.data.buffer);
    for (let l = 0; l < L; l++) for (let s = 0; s < S; s++) {
      const one = value[at(b, l, s)];
      const shade = Math.round(limit(counted(one) / top, 0, 1) * (shades.length - 1));
      pixels[(L - 1 - l) * S + s] = one === MISSING ? 0 : shades[shade];
    }
    colours.getContext("2d").putImageData(image, 0, 0);
    hatch(hatches, b, value, p, numbers.p);
  });
  byId("measure").value = key;
  byId("meaning").textContent = `${name}: ${meaning}.`;
  byId("bottom").textContent = (least < 0 ? "≤ " : "") + "0";
  byId("top").textContent = (most > top ? "≥ " : "") + digits(top);
}
function lines(context, width, height) {
  context.strokeStyle = "rgb(255 255 255 / .55)";
  context.beginPath();
  for (let x = -height; x < width; x += 6) { context.moveTo(x, height); context.lineTo(x + height, 0); }
  context.stroke();
}
function hatch(canvas, b, value, p, numbers) {
  const {clientWidth, clientHeight} = canvas, scale = devicePixelRatio;
  [canvas.width, canvas.height] = [Math.round(clientWidth * scale), Math.round(clientHeight * scale)];
  const context = canvas.getContext("2d"), wide = clientWidth / S, high = clientHeight / L;
  context.scale(scale, scale);
  context.beginPath();
  for (let l = 0; l < L; l++) for (let s = 0, from = -1; s <= S; s++) {
    const i = at(b, l, s), inside = s < S && value[i] !== MISSING && !(listed(p[i], numbers) <= told.alpha);
    if (inside && from < 0) from = s;
    if (!inside && from >= 0) { context.rect(from * wide, (L - 1 - l) * high, (s - from) * wide, high); from = -1; }
  }
  context.clip();
  lines(context, clientWidth, clientHeight);
}
// The chosen layer over time: its own branch on top of the others.
function curve() {
  const svg = byId("curve"), {key, name, unit} = measures[view.m];
  const of = (part, b) => Array.from({length: S}, (_, s) => counted(arrays[`${key}-${part}`][at(b, view.l, s)]));
  const all = branches.map((_, b) => of("value", b)), low = of("low", view.b), high = of("high", view.b);
  const known = [...all.flat(), ...low, ...high].filter(Number.isFinite), most = Math.max(...known, 1e-6), least = Math.min(...known, 0);
  const height = v => 155 - 150 * (v - least) / (most - least), every = all[0].map((_, s) => s);
  const place = (v, s) => `${((s + .5) / S * 1000).toFixed(1)} ${height(v).toFixed(1)}`;
  const path = (line, steps) => steps.filter(s => Number.isFinite(line[s])).map((s, i) => (i ? "L" : "M") + place(line[s], s)).join("");
  svg.replaceChildren();
  drawn("line", {x1: 0, x2: 1000, y1: height(0), y2: height(0)}, svg);
  const band = path(high, every) + path(low, [...every].reverse()).replace("M", "L");
  drawn("path", {d: band && band + "z", class: "band"}, svg);
  const others = every.slice(0, branches.length).filter(b => b !== view.b && has(view.m, b));
  const kinds = [[view.b, "own"], ...others.map((b, i) => [b, i ? "dashed" : "thin"])];
  for (const [b, kind] of [...kinds].reverse()) drawn("path", {d: path(all[b], every), class: kind}, svg);
  // The least is left out where it would lie on 0.
  const marks = [most, 0, ...(height(least) - height(0) > 20 ? [least] : [])];
  byId("heights").replaceChildren(...marks.map(v => {
    const mark = Object.assign(document.createElement("span"), {textContent: digits(v)});
    mark.style.top = height(v) / 1.6 + "%";
    return mark;
  }));
  byId("curve-title").textContent = `${name}, layer ${layers[view.l]}: ${unit}`;
  byId("curve-legend").replaceChildren(...kinds.map(([b, kind]) => {
    const line = Object.assign(document.createElement("span"), {className: "nowrap"});
    drawn("path", {d: "M0 5h28", class: kind}, drawn("svg", {class: "line", viewBox: "0 0 28 10", "aria-hidden": "true"}, line));
    line.append(" " + branches[b].name, kind !== "own" ? "" : has(view.m, b) ? " with its 95 % interval" : ": not measured");
    return line;
  }));
}

// One moment: the cell, the plane, the codes, and where the cursor stands.
function moment() {
  const row = rows[view.b], wide = row.colours.clientWidth / S, high = row.colours.clientHeight / L, cell = byId("cell");
  Object.assign(cell.style, {width: Math.max(wide, 4) + "px", height: Math.max(high, 4) + "px",
    transform: `translate(${view.s * wide}px, ${row.cells.offsetTop + (L - 1 - view.l) * high}px)`});
  byId("readout").textContent = words(view.b, view.l, view.s);
  show(stepNow());
  byId("layer").value = view.l;
  byId("step").value = view.s;
  byId("layer").setAttribute("aria-valuetext", words(view.b, view.l, view.s));
  byId("step").setAttribute("aria-valuetext", words(view.b, view.l, view.s));
}
// What stands on the right of a step: the plane of the time bin that is nearest, the codes, the features.
let shown;
function show(s) {
  const now = [view.b, view.l, s, view.a].join();
  if (now === shown) return;
  shown = now;
  const after = bins.findIndex(([, to]) => s < to), bin = after < 0 ? bins.length - 1 : after;
  const [one, two] = told.shares[view.b][view.l], [from, to] = bins[bin];
  plane.show((((view.b * L + view.l) * bins.length + bin) * K) * 2);
  byId("plane-title").textContent = `All clips: layer ${layers[view.l]}, ${branches[view.b].name}, ` +
    `mean of ${seconds[from].toFixed(2)}–${seconds[to - 1].toFixed(2)} s; components of ${Math.round(100 * one)} and ${Math.round(100 * two)} % of the variance`;
  codes(s);
  firing(s);
}
function codes(s) {
  if (!arrays.codes) return;
  const books = arrays.codes.length / K / (S - lead), frame = s - lead, frames = S - lead;
  const made = complete[s] ? Array.from({length: books}, (_, k) => arrays.codes[(view.a * books + k) * frames + frame]) : [];
  byId("codes").textContent = made.length ? `Codes of frame ${frame}: ${made.join(", ")}` : "";
}
function firing(s) {
  if (!arrays.features) return;
  const n = arrays.features.length / told.features.length / K;
  const value = f => arrays.features[(f * K + view.a) * n + s - lead] / 100;
  const found = told.features.map((one, f) => ({...one, value: complete[s] ? value(f) : 0}));
  const firing = found.filter(one => one.value > 0).sort((one, other) => other.value - one.value);
  byId("silent").hidden = firing.length > 0 || !complete[s];
  byId("firing").replaceChildren(...firing.map(one => {
    const line = document.createElement("li"), link = document.createElement("a");
    link.href = `features.html#feature-${one.layer}-${one.number}`;
    link.textContent = `layer ${one.layer}, feature ${one.number}`;
    line.append(link, (one.named ? ", named" : "") + `: ${one.value}`);
    return line;
  }));
}
let speaking;
function speak() {
  clearTimeout(speaking);
  speaking = setTimeout(() => { byId("live").textContent = byId("readout").textContent; }, 400);
}
function address() {
  const parts = {m: measures[view.m].key, b: branches[view.b].name, l: layers[view.l], s: view.s, a: clips[view.a].name};
  if (view.o >= 0) parts.o = clips[view.o].name;
  if (view.w) parts.w = view.w.join("-");
  const text = "#" + new URLSearchParams(parts);
  history.replaceState(null, "", text);
  byId("link").href = text;
}
function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), find = (list, name) => list.findIndex(one => String(one.name ?? one.key ?? one) === given.get(name));
  const place = (name, list, least) => { const i = find(list, name); if (i >= least) view[name] = i; };
  const m = measures.findIndex(one => one.key === given.get("m"));
  if (m >= 0) view.m = m;
  place("b", branches, 0); place("l", layers, 0); place("a", clips, 0); place("o", clips, 0);
  if (given.has("s")) view.s = limit(Number(given.get("s")) | 0, 0, S - 1);
  const part = (given.get("w") ?? "").split("-").map(Number);
  if (part.length === 2 && part.every(Number.isInteger)) view.w = part.map(s => limit(s, 0, S - 1)).sort((x, y) => x - y);
}

// Changes of the view.
function go(changes) {
  // A measure that is not unpacked yet is shown as soon as it is.
  if (!arrays[measures[changes.m ?? view.m].key + "-p"]) { everything.then(() => go(changes)); return; }
  const before = {...view};
  Object.assign(view, changes);
  if (view.m !== before.m && changes.b === undefined && !has(view.m, view.b)) view.b = best(view.m);
  if (view.m !== before.m) paint();
  if (view.m !== before.m || view.l !== before.l || view.b !== before.b) curve();
  if (view.a !== before.a || view.o !== before.o) cards();
  part(); moment(); speak(); address();
}
function cards() {
  byId("clip").value = view.a;
  byId("other").value = view.o;
  byId("change").disabled = view.o < 0;
  plane.choose(view.a, view.o);
  byId("heard").replaceChildren(...[view.a, view.o].filter(i => i >= 0).flatMap(i => {
    const title = document.createElement("h2"), box = document.createElement("button"), image = new Image();
    title.textContent = `${clips[i].name} · “${clips[i].text}”`;
    Object.assign(box, {type: "button", className: "clip"});
    Object.assign(image, {src: clips[i].image, alt: ""});
    box.dataset.clip = i;
    box.setAttribute("aria-label", "Play " + clips[i].name);
    box.setAttribute("aria-pressed", "false");
    box.append(image, document.createElement("i"));
    box.addEventListener("click", event => {
      const {left, width} = box.getBoundingClientRect(), length = Number(sounds[i].dataset.seconds);
      const second = event.detail > 0 ? limit((event.clientX - left) / width, 0, 1) * length : seconds[view.s];
      go({s: nearest(second)});
      player.play(sounds[i], second);
    });
    return [title, box];
  }));
}
const nearest = second => limit(Math.round((second - seconds[0]) * rate), 0, S - 1);
function part() {
  width = rows[0].colours.clientWidth;
  const wide = rows[0].colours.clientWidth / S, [from, to] = view.w ?? [0, S - 1];
  byId("before").style.width = from * wide + "px";
  byId("after").style.width = (S - 1 - to) * wide + "px";
  byId("after").style.transform = `translateX(${(to + 1) * wide}px)`;
  byId("whole").disabled = !view.w;
}
const play = () => player.playing ? player.pause() : player.play(sounds[view.a], seconds[view.s]);
function change() {
  if (view.o < 0) return;
  const second = player.playing ? player.second : seconds[view.s], playing = player.playing;
  go({a: view.o, o: view.a});
  if (playing) player.play(sounds[view.a], second);
}

// Pointer, keys, controls.
function lay() {
  document.documentElement.style.setProperty("--high", L * limit(Math.round(200 / L), 4, 18) + "px");
  rows = branches.map(({name, reads}, b) => {
    const title = document.createElement("p"), cells = document.createElement("div");
    title.className = "branch";
    const lacks = document.createElement("span");
    title.append(Object.assign(document.createElement("b"), {textContent: name}), " " + reads, lacks);
    cells.className = "cells";
    const [colours, hatches] = ["colours", "hatches"].map(className => Object.assign(document.createElement("canvas"), {className}));
    [colours.width, colours.height] = [S, L];
    const names = document.createElement("div");
    names.className = "names";
    for (const l of [L - 1, Math.floor((L - 1) / 2), 0].filter((l, i, all) => all.indexOf(l) === i))
      names.append(Object.assign(document.createElement("span"), {textContent: (l ? "" : "layer ") + layers[l]}));
    cells.append(colours, hatches, names);
    byId("rows").append(title, cells);
    const under = event => {
      const {left, top, width, height} = cells.getBoundingClientRect();
      return [limit(Math.floor((event.clientY - top) / height * L), 0, L - 1), limit(Math.floor((event.clientX - left) / width * S), 0, S - 1)];
    };
    cells.addEventListener("pointermove", event => {
      const [row, s] = under(event);
      byId("readout").textContent = words(b, L - 1 - row, s);
    });
    cells.addEventListener("pointerleave", () => { byId("readout").textContent = words(view.b, view.l, view.s); });
    cells.addEventListener("click", event => {
      const [row, s] = under(event);
      go({b, l: L - 1 - row, s});
      player.play(sounds[view.a], seconds[s]);
    });
    return {cells, colours, hatches, lacks};
  });
  const mark = (axis, s, text) => {
    if (s > .96 * S) return;
    const tick = Object.assign(document.createElement("span"), {textContent: text});
    tick.style.left = (s + .5) / S * 100 + "%";
    axis.append(tick);
  };
  const spacing = [.25, .5, 1, 2, 5, 10, 30].find(one => seconds[S - 1] / one <= 8.5) ?? 60;
  for (const axis of [byId("seconds"), byId("curve-seconds")])
    for (let t = 0; t <= seconds[S - 1]; t += spacing) mark(axis, (t - seconds[0]) * rate, t + " s");
  const jump = [5, 10, 25, 50, 100, 250, 500].find(one => S / one <= 9) ?? 1000;
  for (let s = 0; s < S; s += jump) mark(byId("steps"), s, s ? s : "step 0");
}
function controls() {
  const axis = byId("seconds");
  let from = null;
  const step = event => { const {left, width} = axis.getBoundingClientRect(); return limit(Math.floor((event.clientX - left) / width * S), 0, S - 1); };
  axis.addEventListener("pointerdown", event => { from = step(event); axis.setPointerCapture(event.pointerId); });
  axis.addEventListener("pointermove", event => {
    if (from !== null && step(event) !== from) go({w: [from, step(event)].sort((x, y) => x - y)});
  });
  axis.addEventListener("pointerup", event => { if (step(event) === from) go({s: from, w: null}); from = null; });
  byId("measure").addEventListener("change", event => go({m: measures.findIndex(one => one.key === event.target.value)}));
  byId("clip").addEventListener("change", event => go({a: Number(event.target.value)}));
  byId("other").addEventListener("change", event => go({o: Number(event.target.value)}));
  byId("layer").addEventListener("input", event => go({l: Number(event.target.value)}));
  byId("step").addEventListener("input", event => go({s: Number(event.target.value)}));
  byId("play").addEventListener("click", play);
  byId("change").addEventListener("click", change);
  byId("whole").addEventListener("click", () => go({w: null}));
  byId("layer").max = L - 1;
  byId("step").max = S - 1;
  addEventListener("resize", () => { paint(); part(); moment(); });
  addEventListener("hashchange", () => { const before = {...view}; fromAddress(); const after = {...view}; Object.assign(view, before); go(after); });
  addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
    const onMap = event.target === byId("map"), far = event.shiftKey ? 10 : 1, free = !/BUTTON|SUMMARY|A/.test(event.target.tagName);
    const done = {
      ArrowLeft: onMap && (() => go({s: limit(view.s - far, 0, S - 1)})), ArrowRight: onMap && (() => go({s: limit(view.s + far, 0, S - 1)})),
      ArrowUp: onMap && (() => go({l: limit(view.l + 1, 0, L - 1)})), ArrowDown: onMap && (() => go({l: limit(view.l - 1, 0, L - 1)})),
      " ": free && play, s: change, m: () => go({m: (view.m + 1) % measures.length}), b: () => go({b: (view.b + 1) % branches.length}),
      "[": () => go({w: [view.s, Math.max(view.s, view.w?.[1] ?? S - 1)]}), "]": () => go({w: [Math.min(view.s, view.w?.[0] ?? 0), view.s]}),
      Escape: () => go({w: null}),
    }[event.key] ?? (event.key >= "1" && event.key <= "9" && event.key <= K && (() => go({a: Number(event.key) - 1})));
    if (!done) return;
    done();
    event.preventDefault();
  });
}
function follow() {
  const second = secondNow();
  for (const cursor of document.querySelectorAll(".cursor"))
    cursor.style.transform = `translateX(${limit((second - seconds[0]) * rate + .5, 0, S) * width / S}px)`;
  for (const box of document.querySelectorAll(".clip"))
    box.lastChild.style.left = 100 * second / Number(sounds[box.dataset.clip].dataset.seconds) + "%";
  if (sounding() && view.w && second > seconds[view.w[1]] + 1 / rate) player.play(player.chosen, seconds[view.w[0]]);
  show(stepNow());
  requestAnimationFrame(follow);
}
async function begin() {
  // What is shown first is unpacked first.
  fromAddress();
  const every = [...document.querySelectorAll(".array")], own = `${measures[view.m].key}-`;
  const soon = ({dataset}) => dataset.name.startsWith(own) || ["places", "codes", "features"].includes(dataset.name);
  arrays = await unpackAll(every.filter(soon));
  everything = unpackAll(every.filter(element => !soon(element))).then(others => Object.assign(arrays, others));
  view.b ??= best(view.m);
  plane = new Plane(byId("plane"), clips, labels, arrays.places, i => {
    go({a: i});
    player.play(sounds[i], seconds[view.s]);
  });
  lay();
  controls();
  paint(); curve(); cards(); part(); moment();
  const scale = byId("scale").getContext("2d"), image = new ImageData(shades.length, 1);
  new Uint32Array(image.data.buffer).set(shades);
  scale.putImageData(image, 0, 0);
  const sample = byId("hatched").getContext("2d");
  sample.fillStyle = told.colours[16];
  sample.fillRect(0, 0, 28, 14);
  lines(sample, 28, 14);
  follow();
  document.documentElement.dataset.ready = Math.round(performance.now());
  await everything;
  document.documentElement.dataset.whole = Math.round(performance.now());
}
begin();
