// Answers are kept in the browser by the page's hash, since pages from disk share one store, and saved as a file.
const trials = JSON.parse(document.getElementById("told").textContent), {page} = document.body.dataset;
const byId = id => document.getElementById(id), sounds = [...document.querySelectorAll(".sound")];
const store = "inner-ear-listening-" + page, LETTERS = "ABCDEFGH";
const fresh = () => ({page, listener: [...crypto.getRandomValues(new Uint8Array(4))].map(byte => byte.toString(16).padStart(2, "0")).join(""), answers: []});
let saved = fresh(), at = 0, began = performance.now(), replays = 0;
const player = new Player(() => {
  for (const button of document.querySelectorAll(".offer button"))
    button.setAttribute("aria-pressed", String(player.playing && sounds[button.dataset.sound] === player.chosen));
}, error => { byId("said").textContent = "cannot play: " + error.message; });
player.ended = () => {};

const answerOf = trial => saved.answers.find(answer => answer.trial === trial);
function keep() {
  try { localStorage.setItem(store, JSON.stringify(saved)); } catch { /* a private window keeps nothing: there is the file */ }
}
function isOfThisPage(given) {
  return given?.page === page && typeof given.listener === "string" && Array.isArray(given.answers) && given.answers.every(
    ({trial, choice}) => Number.isInteger(trial) && trials[trial] && Number.isInteger(choice) && choice >= 0 && choice < trials[trial].excerpts.length);
}
function restore() {
  try {
    const given = JSON.parse(localStorage.getItem(store));
    if (isOfThisPage(given)) saved = given;
  } catch { /* nothing was kept */ }
  at = Math.max(0, trials.findIndex((_, trial) => !answerOf(trial)));
}
function show() {
  player.pause();
  const {question, examples, excerpts} = trials[at], n = saved.answers.length, before = examples.length;
  [began, replays] = [performance.now(), 0];
  byId("listener").textContent = saved.listener;
  byId("question").textContent = question;
  byId("place").textContent = n === trials.length ? `All ${n} questions are answered: save the file and send it back.` : `Question ${at + 1} of ${trials.length}`;
  byId("progress").max = trials.length;
  byId("progress").value = n;
  byId("first").textContent = before + 1;
  byId("last").textContent = byId("end").textContent = before + excerpts.length;
  byId("save").textContent = n === trials.length ? "Save answers as a file" : "Save answers so far as a file";
  byId("examples").replaceChildren(...examples.map((sound, i) => offer(sound, `Example ${i + 1}`)));
  byId("offered").replaceChildren(...excerpts.map((sound, choice) => {
    const box = offer(sound, LETTERS[choice]), label = document.createElement("label"), radio = document.createElement("input");
    Object.assign(radio, {type: "radio", name: "choice", value: choice, checked: answerOf(at)?.choice === choice});
    radio.addEventListener("change", () => choose(choice));
    label.append(radio, LETTERS[choice]);
    box.append(label);
    return box;
  }));
  byId("back").disabled = at === 0;
  byId("next").disabled = !answerOf(at) || at === trials.length - 1;
}
// A box with a button that plays a sound.
function offer(sound, name) {
  const box = document.createElement("div"), button = document.createElement("button");
  box.className = "offer";
  Object.assign(button, {type: "button", textContent: "▶ " + name});
  button.dataset.sound = sound;
  button.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-label", "Play " + name);
  button.addEventListener("click", () => hearOne(sounds[sound]));
  box.append(button);
  return box;
}
function hearOne(sound) {
  if (player.playing && player.chosen === sound) return player.pause();
  replays++;
  player.play(sound, 0);
}
function choose(choice) {
  const answer = answerOf(at) ?? {trial: at, replays: 0, seconds: 0};
  answer.choice = choice;
  answer.replays += replays;
  answer.seconds = Math.round(answer.seconds + (performance.now() - began) / 1000);
  [began, replays] = [performance.now(), 0];
  if (!answerOf(at)) saved.answers.push(answer);
  keep();
  document.querySelectorAll("[name=choice]")[choice].checked = true;
  byId("next").disabled = at === trials.length - 1;
  byId("progress").value = saved.answers.length;
  if (saved.answers.length === trials.length) byId("place").textContent = `All ${trials.length} questions are answered: save the file and send it back.`;
}
function go(to) { at = to; show(); byId("question").focus(); }
async function file() {
  const body = JSON.stringify(saved), digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(body));
  const sha256 = [...new Uint8Array(digest)].map(byte => byte.toString(16).padStart(2, "0")).join("");
  return JSON.stringify({body, sha256});
}
byId("save").addEventListener("click", async () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([await file()], {type: "application/json"}));
  link.download = `answers-${saved.listener}.json`;
  link.click();
  byId("said").textContent = `Saved as ${link.download}.`;
});
byId("file").addEventListener("change", async event => {
  try {
    const given = JSON.parse(JSON.parse(await event.target.files[0].text()).body);
    if (!isOfThisPage(given)) throw new Error("it holds answers to another page");
    saved = given;
    keep();
    at = Math.max(0, trials.findIndex((_, trial) => !answerOf(trial)));
    show();
    byId("said").textContent = `The file holds ${saved.answers.length} answers.`;
  } catch (error) { byId("said").textContent = "This file cannot be used: " + error.message; }
});
byId("back").addEventListener("click", () => go(at - 1));
byId("next").addEventListener("click", () => go(at + 1));
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const number = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1] - 1, {examples, excerpts} = trials[at];
  const heard = [...examples, ...excerpts][number], choice = number - examples.length;
  if (heard !== undefined && !event.shiftKey) hearOne(sounds[heard]);
  else if (heard !== undefined && choice >= 0) choose(choice);
  else if (event.key === "Enter" && !byId("next").disabled && event.target.tagName !== "BUTTON") go(at + 1);
  else return;
  event.preventDefault();
});
restore();
show();
document.documentElement.dataset.ready = 1;
