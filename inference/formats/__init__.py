"""What image files tell of themselves before a pixel is decoded, read from their bytes. Pure."""
