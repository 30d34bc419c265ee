"""`python -m house`: draw the house and a transfer anew."""

from house import picture, sequence
from house.rooms import rooms

for drawing, text in ((picture, picture.picture(rooms())), (sequence, sequence.picture())):
    drawing.FILE.parent.mkdir(exist_ok=True)
    drawing.FILE.write_text(text, encoding="utf-8")
