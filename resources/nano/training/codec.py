"""nano's EnCodec: 16 kHz to four codebooks of 256 codes at 50 Hz (1.6 kbit/s), and its training."""

import librosa
import numpy as np
import torch
from audiocraft.models.builders import get_compression_model
from audiocraft.models.encodec import EncodecModel
from omegaconf import OmegaConf
from progress import Progress
from synthesis import FRAME, SAMPLE_RATE
from torch.nn import functional

CONFIG = {
    "compression_model": "encodec",
    "sample_rate": SAMPLE_RATE,
    "channels": 1,
    "device": "cpu",
    "dtype": "float32",
    "encodec": {
        "autoencoder": "seanet",
        "quantizer": "rvq",
        "sample_rate": SAMPLE_RATE,
        "channels": 1,
        "causal": False,
        "renormalize": False,
    },
    "seanet": {
        "dimension": 48,
        "channels": 1,
        "n_filters": 8,
        "n_residual_layers": 1,
        "ratios": [5, 4, 4, 4],  # hop of 320 samples
        "activation": "ELU",
        "activation_params": {"alpha": 1.0},
        "norm": "weight_norm",
        "norm_params": {},
        "kernel_size": 7,
        "last_kernel_size": 7,
        "residual_kernel_size": 3,
        "dilation_base": 2,
        "causal": False,
        "pad_mode": "reflect",
        "true_skip": True,
        "compress": 2,
        "lstm": 1,
        "disable_norm_outer_blocks": 0,
        "encoder": {},
        "decoder": {"trim_right_ratio": 1.0, "final_activation": None, "final_activation_params": None},
    },
    "rvq": {
        "n_q": 4,
        "q_dropout": False,
        "bins": 256,  # MusicGen's default top_k of 250 needs at least as many
        "decay": 0.99,
        "kmeans_init": True,
        "kmeans_iters": 20,
        # Below the mean use of a code in a batch (240 frames over 256 codes), else all codes "die".
        "threshold_ema_dead_code": 0.2,
        "orthogonal_reg_weight": 0.0,
        "orthogonal_reg_active_codes_only": False,
    },
}
STEPS = 2800
BATCH = 8
CROP_FRAMES = 30  # 0.6 s
WARM_UP = 0.25  # first share of the steps: plain autoencoder; quantised from the start it gets stuck
DECODER_ONLY = 0.25  # last share: codes are fixed, only the decoder learns


def build() -> EncodecModel:
    """Build the untrained codec from `CONFIG`."""
    return get_compression_model(OmegaConf.create(CONFIG))


def train(waves: np.ndarray, steps: int, seed: int) -> EncodecModel:
    """Train a codec.

    Parameters
    ----------
    waves : float32 [clip, sample].
    """
    rng = np.random.default_rng(seed)
    codec = build().train()
    loss_of = ReconstructionLoss()
    optimizer = torch.optim.AdamW(codec.parameters(), lr=2e-3, betas=(0.8, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.03)
    quantise_from, freeze_from = round(WARM_UP * steps), round((1 - DECODER_ONLY) * steps)
    progress = Progress("codec", steps)
    for step in range(steps):
        if step == quantise_from:
            _start_codebooks(codec, _crops(waves, 192, rng))
        if step == freeze_from:
            codec.encoder.requires_grad_(False)
            codec.quantizer.eval()
        wave = _crops(waves, BATCH, rng)
        latent = codec.encoder(wave)
        penalty = torch.zeros(())
        if step >= quantise_from:
            quantised = codec.quantizer(latent, codec.frame_rate)
            latent, penalty = quantised.x, quantised.penalty if step < freeze_from else penalty
        output = codec.decoder(latent)[..., : wave.shape[-1]]
        loss = loss_of(output, wave) + 0.1 * penalty
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.report(step, loss.item())
    return codec.requires_grad_(True).eval()


@torch.no_grad()
def encode(codec: EncodecModel, waves: np.ndarray) -> torch.Tensor:
    """Encode clips ([clip, sample]) to codes, int16 [clip, K, T]."""
    batches = torch.from_numpy(waves).unsqueeze(1).split(16)
    return torch.cat([codec.encode(batch)[0].to(torch.int16) for batch in batches])


class ReconstructionLoss(torch.nn.Module):
    """Distance of two waves by spectrum at four resolutions, by semitone, and a little by waveform.

    The spectral terms are the log-mel L1 distance and the spectral convergence. The semitone term
    compares log energies in bands of a semitone around each pitch of the instruments' range: mel
    bands are too wide there to tell a major third from a minor one. The waveform's weight stays
    small, since a larger one shrinks tones whose phase cannot be predicted.
    """

    SIZES = (256, 512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        self.mels = [
            torch.from_numpy(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=size, n_mels=bands)).float()
            for size, bands in zip(self.SIZES, (20, 40, 64, 80), strict=True)
        ]
        self.semitones = _semitone_bands(4096, lowest=38, highest=86)

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss of two waves [B, 1, sample]."""
        loss = 0.02 * functional.l1_loss(output, target) / target.abs().mean()
        for size, mel in zip(self.SIZES, self.mels, strict=True):
            ours, theirs = _magnitude(output, size), _magnitude(target, size)
            convergence = torch.linalg.vector_norm(theirs - ours) / torch.linalg.vector_norm(theirs)
            loss = loss + (convergence + _log_distance(mel @ ours, mel @ theirs)) / len(self.SIZES)
        ours, theirs = _magnitude(output, 4096), _magnitude(target, 4096)
        return loss + 0.5 * _log_distance(self.semitones @ ours, self.semitones @ theirs)


def _magnitude(wave: torch.Tensor, size: int) -> torch.Tensor:
    """Magnitude spectrogram [B, size / 2 + 1, frame], scaled so that a full-scale sine is about 1."""
    window = torch.hann_window(size)
    spectrum = torch.stft(wave.squeeze(1), size, size // 4, window=window, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-10).sqrt() / (size / 4)


def _log_distance(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    return functional.l1_loss(torch.log(ours + 1e-4), torch.log(theirs + 1e-4))


def _semitone_bands(size: int, lowest: int, highest: int) -> torch.Tensor:
    """Triangular bands, one a semitone, as [band, bin] weights for a spectrum of `size` points."""
    bins = np.arange(1, size // 2 + 1) * SAMPLE_RATE / size
    midi = 69 + 12 * np.log2(bins / 440)
    weights = np.clip(1 - np.abs(midi[None] - np.arange(lowest, highest + 1)[:, None]), 0, None)
    weights = np.pad(weights, ((0, 0), (1, 0)))
    filled = weights[weights.sum(1) > 0]
    return torch.from_numpy(filled / filled.sum(1, keepdims=True)).float()


def _crops(waves: np.ndarray, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Random crops [count, 1, sample] that start on a codec frame."""
    clips = rng.integers(len(waves), size=count)
    starts = FRAME * rng.integers(waves.shape[1] // FRAME - CROP_FRAMES, size=count)
    length = CROP_FRAMES * FRAME
    crops = [waves[clip, start : start + length] for clip, start in zip(clips, starts, strict=True)]
    return torch.from_numpy(np.stack(crops)).unsqueeze(1)


@torch.no_grad()
def _start_codebooks(codec: EncodecModel, wave: torch.Tensor) -> None:
    """Initialise each codebook by k-means over the latents of `wave`."""
    codec.quantizer(codec.encoder(wave), codec.frame_rate)
