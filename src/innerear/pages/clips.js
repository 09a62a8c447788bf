const players = [...document.querySelectorAll(".player")], byName = new Map(players.map(one => [one.dataset.name, one]));
const onward = document.getElementById("onward"), playing = document.getElementById("playing");
const filters = [...document.querySelectorAll("[data-filter]")], pair = document.getElementById("pair");
const player = new Player(
  () => {
    for (const one of players)
      one.setAttribute("aria-pressed", String(player.playing && one === player.chosen));
    playing.textContent = player.playing ? "playing " + player.chosen.dataset.name : "";
  },
  error => { playing.textContent = "cannot play: " + error.message; });
const secondsOf = one => Number(one.dataset.seconds);

for (const one of players) {
  one.addEventListener("click", event => {
    const mouse = event.detail > 0, box = one.querySelector("img").getBoundingClientRect();
    const part = mouse ? Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) : null;
    const onIcon = mouse && event.clientX - box.left < 36 && event.clientY > box.bottom - 36;
    const pressed = one.getAttribute("aria-pressed") === "true";
    if (pressed && (!mouse || onIcon)) player.pause();
    else player.play(one, onIcon || part === null ? null : part * secondsOf(one));
  });
  one.addEventListener("keydown", event => {
    const step = {ArrowLeft: -0.5, ArrowRight: 0.5}[event.key];
    if (step && one === player.loaded) {
      player.sound.currentTime = Math.max(0, player.second + step);
      event.preventDefault();
    }
  });
}
const shown = one => !one.closest("figure").hidden;
player.ended = () => {
  const next = players.slice(players.indexOf(player.chosen) + 1).find(shown);
  if (onward.checked && next) { next.focus(); player.play(next, 0); }
};

// Filters: what holds no clip any more is hidden as well.
function filter() {
  for (const one of players) {
    const figure = one.closest("figure");
    figure.hidden = filters.some(({value, dataset}) => value && figure.dataset[dataset.filter] !== value);
  }
  for (const holder of document.querySelectorAll("article, section[id]"))
    holder.hidden = ![...holder.querySelectorAll("figure")].some(figure => !figure.hidden);
  document.getElementById("count").textContent = `${players.filter(shown).length} of ${players.length} clips`;
}
for (const one of filters) one.addEventListener("change", filter);

// Two clips below each other with one cursor; the sound changes from one to the other at the same moment.
const two = [];
function compare(name) {
  const at = two.indexOf(name);
  if (at >= 0) two.splice(at, 1);
  else { if (two.length > 1) two.shift(); two.push(name); }
  for (const box of document.querySelectorAll(".compare")) box.checked = two.includes(box.value);
  pair.hidden = !two.length;
  const rows = two.map(other => {
    const row = document.createElement("button"), image = byName.get(other).querySelector("img").cloneNode();
    const head = document.createElement("i"), label = document.createElement("span");
    Object.assign(row, {type: "button", className: "row"});
    head.className = "head";
    label.textContent = other;
    row.setAttribute("aria-label", "Play " + other + " here");
    row.append(label, image, head);
    row.addEventListener("click", event => {
      const box = image.getBoundingClientRect(), source = byName.get(other);
      const part = event.detail > 0 ? (event.clientX - box.left) / box.width : player.second / secondsOf(source);
      player.play(source, Math.max(0, Math.min(1, part)) * secondsOf(source));
    });
    return row;
  });
  document.getElementById("rows").replaceChildren(...rows);
}
for (const box of document.querySelectorAll(".compare")) box.addEventListener("change", () => compare(box.value));
function change() {
  const other = two.find(name => byName.get(name) !== player.chosen);
  if (other) player.play(byName.get(other), Math.min(player.second, secondsOf(byName.get(other)) - 0.01));
}
document.getElementById("change").addEventListener("click", change);
addEventListener("keydown", event => { if (event.key === "s" && two.length && !event.ctrlKey && !event.metaKey) change(); });

function follow() {
  if (player.loaded) {
    const part = 100 * player.second / secondsOf(player.loaded) + "%";
    for (const head of player.loaded.closest("figure").querySelectorAll(".head")) head.style.left = part;
    for (const head of pair.querySelectorAll(".head")) head.style.left = part;
  }
  requestAnimationFrame(follow);
}
for (const place of document.querySelectorAll("[data-place]")) place.style.left = place.dataset.place;
follow();
