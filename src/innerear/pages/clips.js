// One audio element serves all clips: browsers refuse more than about 75 on a page, and one element cannot
// play two clips at once.
const sound = new Audio(), players = [...document.querySelectorAll(".player")];
const onward = document.getElementById("onward"), playing = document.getElementById("playing");
let current = null;
function stop() {
  sound.pause();
  if (current) current.setAttribute("aria-pressed", "false");
  playing.textContent = "";
}
function play(player, part) {
  if (player !== current) { stop(); current = player; sound.src = player.dataset.sound; }
  const start = () => {
    if (part !== null && isFinite(sound.duration)) sound.currentTime = part * sound.duration;
  };
  if (sound.readyState) start(); else sound.addEventListener("loadedmetadata", start, {once: true});
  player.setAttribute("aria-pressed", "true");
  playing.textContent = "playing " + player.dataset.name;
  sound.play().catch(error => {
    // Choosing another clip aborts the start of this one, which is no fault.
    if (error.name !== "AbortError") { stop(); playing.textContent = "cannot play: " + error.message; }
  });
}
for (const player of players) {
  player.addEventListener("click", event => {
    const mouse = event.detail > 0, box = player.getBoundingClientRect();
    const part = mouse ? Math.max(0, (event.clientX - box.left) / box.width) : null;
    const onIcon = mouse && event.clientX - box.left < 36 && event.clientY > box.bottom - 36;
    if (player === current && !sound.paused && (!mouse || onIcon)) stop();
    else play(player, onIcon ? null : part);
  });
  player.addEventListener("keydown", event => {
    const step = {ArrowLeft: -0.5, ArrowRight: 0.5}[event.key];
    if (step && player === current) {
      sound.currentTime = Math.max(0, sound.currentTime + step);
      event.preventDefault();
    }
  });
}
sound.addEventListener("ended", () => {
  const next = players[players.indexOf(current) + 1];
  stop();
  if (onward.checked && next) { next.focus(); play(next, 0); }
});
function follow() {
  if (current && sound.duration)
    for (const head of current.closest("figure").querySelectorAll(".head"))
      head.style.left = 100 * sound.currentTime / sound.duration + "%";
  requestAnimationFrame(follow);
}
follow();
