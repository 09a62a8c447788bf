"""Import audiocraft as Inner Ear does, without xformers; import this before audiocraft."""

from innerear.models.imports import import_audiocraft

import_audiocraft()
