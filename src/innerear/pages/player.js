// One audio element serves all clips of a page: browsers refuse more than about 75, and one cannot play two at
// once. A clip is an element with its rate, and its Ogg Vorbis as base64 in `data-ogg` or as its text.
class Player {
  // `changed` is called after whatever begins or ends; `failed` with an error.
  constructor(changed, failed) {
    Object.assign(this, {sound: new Audio(), chosen: null, loaded: null, presses: 0, sounds: new Map(), changed, failed});
    this.playing = false;
    this.sound.addEventListener("ended", () => { if (this.loaded === this.chosen) { this.pause(); this.ended?.(); } });
  }
  // From a second, or from where the clip was left; null if something else was pressed meanwhile.
  async play(clip, second = null) {
    if (clip !== this.chosen) this.pause();
    const press = ++this.presses;
    this.chosen = clip;
    this.playing = true;
    this.changed();
    try {
      if (!this.sounds.has(clip)) this.sounds.set(clip, decode(clip));
      const {url} = await this.sounds.get(clip);
      if (press !== this.presses) return;
      if (this.loaded !== clip) { this.loaded = clip; this.sound.src = url; }
      if (second !== null) this.sound.currentTime = second;
      await this.sound.play();
    } catch (error) {
      // A press elsewhere aborts the start of this clip, which is no fault.
      if (press === this.presses) { this.pause(); this.failed(error); }
    }
  }
  pause() {
    this.presses++;
    this.sound.pause();
    this.playing = false;
    this.changed();
  }
  get second() { return this.sound.currentTime; }
}
function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
// Chromium seeks in Ogg to the start of a page, up to a second early. In WAV every browser finds the sample.
async function decode(clip) {
  const ogg = bytesOf(clip.dataset.ogg ?? clip.textContent);
  // Decoding resamples to the rate of its context.
  const context = new OfflineAudioContext(1, 1, Number(clip.dataset.rate));
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
