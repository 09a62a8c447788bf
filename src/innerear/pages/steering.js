// All doses of a text and layer play at once, on one clock; the slider chooses which of them is let through. So the
// sound goes on at the same sample, without a gap.
const sounds = [...document.querySelectorAll(".sound")], find = name => document.getElementById(name);
const [template, layer, dose, alike, button, state, place] =
  ["template", "layer", "dose", "alike", "play", "state", "place"].map(find);
const FADE = 0.012;  // seconds; a harder change would click
// Made when something is pressed: before that, browsers let nothing sound.
let context = null, master = null;
// What plays: a source and a gain for each dose, and the moment of the clock at which the clip began.
let playing = null, presses = 0;

function decode(sound) {
  sound.decoded ??= context.decodeAudioData(
    Uint8Array.from(atob(sound.dataset.ogg), character => character.charCodeAt(0)).buffer);
  return sound.decoded;
}
// An untouched clip is the same in every layer, and is there once.
function chosen() {
  return sounds.filter(sound => sound.dataset.template === template.value
    && ["", layer.value].includes(sound.dataset.layer))
    .sort((one, other) => one.dataset.dose - other.dataset.dose);
}
function level(sound, number) {
  return number === Number(dose.value) ? (alike.checked ? Number(sound.dataset.gain) : 1) : 0;
}
function mix() {
  const own = chosen()[Number(dose.value)];
  state.textContent = "dose " + (own.dataset.dose > 0 ? "+" : "") + own.dataset.dose.replace("-", "−");
  dose.setAttribute("aria-valuetext", state.textContent);
  if (!playing) return;
  playing.tracks.forEach(({sound, gain}, number) => {
    const now = context.currentTime;
    gain.gain.cancelScheduledValues(now);
    gain.gain.setValueAtTime(gain.gain.value, now);
    gain.gain.linearRampToValueAtTime(level(sound, number), now + FADE);
  });
}
function stop() {
  presses++;
  if (playing) playing.tracks.forEach(({source}) => { source.onended = null; source.stop(); });
  playing = null;
  button.setAttribute("aria-pressed", "false");
  button.textContent = "play";
}
async function play(offset) {
  stop();
  const press = presses, set = chosen();
  button.setAttribute("aria-pressed", "true");
  button.textContent = "stop";
  try {
    if (!context) {
      context = new AudioContext();
      master = context.createGain();
      master.connect(context.destination);
    }
    await context.resume();
    const decoded = await Promise.all(set.map(decode));
    // Something else was pressed meanwhile.
    if (press !== presses) return;
    const begin = context.currentTime + 0.03;
    const tracks = set.map((sound, number) => {
      const source = context.createBufferSource(), gain = context.createGain();
      source.buffer = decoded[number];
      gain.gain.value = level(sound, number);
      source.connect(gain).connect(master);
      source.start(begin, offset);
      return {sound, source, gain};
    });
    tracks[0].source.onended = stop;
    playing = {tracks, began: begin - offset, seconds: decoded[0].duration};
    mix();
  } catch (error) {
    if (press === presses) { stop(); state.textContent = "cannot play: " + error.message; }
  }
}
function now() {
  return playing ? Math.max(0, context.currentTime - playing.began) : 0;
}
button.addEventListener("click", () => button.getAttribute("aria-pressed") === "true" ? stop() : play(0));
dose.addEventListener("input", mix);
alike.addEventListener("change", mix);
for (const choice of [template, layer]) choice.addEventListener("change", () => playing ? play(now()) : mix());
function follow() {
  place.value = playing ? now() / playing.seconds : 0;
  requestAnimationFrame(follow);
}
mix();
follow();
