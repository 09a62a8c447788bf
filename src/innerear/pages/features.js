// Each clip is decoded once, when one of its moments is first played.
const seconds = Number(document.getElementById("features").dataset.listen);
const decoded = new Map();
let context, source, button;

function stop() {
  if (source) source.stop();
  if (button) button.setAttribute("aria-pressed", "false");
  source = button = undefined;
}

function sound(number) {
  if (!decoded.has(number)) {
    const ogg = document.getElementById(`clip-${number}`).getAttribute("value");
    decoded.set(number, context.decodeAudioData(bytesOf(ogg).buffer));
  }
  return decoded.get(number);
}

document.addEventListener("click", async event => {
  const pressed = event.target.closest(".moment");
  if (!pressed) return;
  const again = pressed === button;
  stop();
  if (again) return;
  context ??= new AudioContext();
  button = pressed;
  pressed.setAttribute("aria-pressed", "true");
  const said = document.getElementById("playing");
  try {
    const buffer = await sound(pressed.dataset.clip);
    if (button !== pressed) return;
    source = new AudioBufferSourceNode(context, {buffer});
    source.connect(context.destination);
    source.addEventListener("ended", () => { if (button === pressed) stop(); });
    source.start(0, Number(pressed.dataset.start), seconds);
    said.textContent = pressed.getAttribute("aria-label");
  } catch (error) {
    stop();
    said.textContent = `This browser cannot play the clip: ${error.message}`;
  }
});
