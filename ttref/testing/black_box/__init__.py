"""Parts of `ttref.testing.check_vjp`, which takes f and vjp for black boxes; a file per subject."""
