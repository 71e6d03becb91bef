"""A result drawn on its image. `painters.draw` is where to begin; `style` is all that web processes need of it."""
