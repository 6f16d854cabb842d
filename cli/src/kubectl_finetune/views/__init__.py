"""What is shown, made from what is known. Pure: objects and the time go in, lines come out."""
