"""`python -m house`: draw the house anew."""

from house.picture import FILE, picture
from house.rooms import rooms

FILE.parent.mkdir(exist_ok=True)
FILE.write_text(picture(rooms()), encoding="utf-8")
