// One audio element serves all clips: browsers refuse more than about 75 on a page, and one element cannot
// play two clips at once.
const sound = new Audio(), players = [...document.querySelectorAll(".player")];
const onward = document.getElementById("onward"), playing = document.getElementById("playing");
// The player that was pressed last, the one whose sound the element holds, and how often anything was pressed.
let chosen = null, loaded = null, presses = 0;

// Chromium seeks in Ogg to the start of a page, up to a second early. In WAV every browser finds the sample.
async function decode(player) {
  const ogg = Uint8Array.from(atob(player.dataset.ogg), character => character.charCodeAt(0));
  // Decoding resamples to the rate of its context.
  const context = new OfflineAudioContext(1, 1, Number(player.dataset.rate));
  const decoded = await context.decodeAudioData(ogg.buffer);
  return {url: URL.createObjectURL(wav(decoded)), seconds: decoded.duration};
}
function wav(decoded) {
  const channels = decoded.numberOfChannels, rate = decoded.sampleRate;
  const samples = new Int16Array(decoded.length * channels);
  for (let c = 0; c < channels; c++)
    decoded.getChannelData(c).forEach((value, i) => {
      samples[i * channels + c] = Math.round(32767 * Math.max(-1, Math.min(1, value)));
    });
  const u16 = (...values) => Uint16Array.from(values), u32 = (...values) => Uint32Array.from(values);
  const size = samples.byteLength, format = [
    u16(1, channels), u32(rate, 2 * channels * rate), u16(2 * channels, 16)];
  return new Blob(["RIFF", u32(36 + size), "WAVEfmt ", u32(16), ...format, "data", u32(size), samples],
    {type: "audio/wav"});
}

function stop() {
  presses++;
  sound.pause();
  if (chosen) chosen.setAttribute("aria-pressed", "false");
  playing.textContent = "";
}
async function play(player, part) {
  if (player !== chosen) stop();
  chosen = player;
  const press = ++presses;
  player.setAttribute("aria-pressed", "true");
  playing.textContent = "playing " + player.dataset.name;
  try {
    const {url, seconds} = await (player.sound ??= decode(player));
    // Something else was pressed meanwhile.
    if (press !== presses) return;
    if (loaded !== player) { loaded = player; sound.src = url; }
    if (part !== null) sound.currentTime = part * seconds;
    await sound.play();
  } catch (error) {
    // A press elsewhere aborts the start of this clip, which is no fault.
    if (press === presses) { stop(); playing.textContent = "cannot play: " + error.message; }
  }
}
for (const player of players) {
  player.addEventListener("click", event => {
    const mouse = event.detail > 0, box = player.querySelector("img").getBoundingClientRect();
    const part = mouse ? Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) : null;
    const onIcon = mouse && event.clientX - box.left < 36 && event.clientY > box.bottom - 36;
    const pressed = player.getAttribute("aria-pressed") === "true";
    if (pressed && (!mouse || onIcon)) stop();
    else play(player, onIcon ? null : part);
  });
  player.addEventListener("keydown", event => {
    const step = {ArrowLeft: -0.5, ArrowRight: 0.5}[event.key];
    if (step && player === loaded) {
      sound.currentTime = Math.max(0, sound.currentTime + step);
      event.preventDefault();
    }
  });
}
sound.addEventListener("ended", () => {
  if (loaded !== chosen) return;
  const next = players[players.indexOf(loaded) + 1];
  stop();
  if (onward.checked && next) { next.focus(); play(next, 0); }
});
function follow() {
  if (loaded && sound.duration)
    for (const head of loaded.closest("figure").querySelectorAll(".head"))
      head.style.left = 100 * sound.currentTime / sound.duration + "%";
  requestAnimationFrame(follow);
}
follow();
