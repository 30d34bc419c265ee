"""The figures of the console, and whether their limits are kept."""

from dataclasses import dataclass

HEADINGS = ("what", "median", "worst", "limit", "")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure."""

    what: str
    median: float
    worst: float
    unit: str
    #: What the worst may be.
    most: float

    @property
    def kept(self) -> bool:
        """Whether the limit is kept."""
        return self.worst <= self.most

    @property
    def row(self) -> tuple[str, ...]:
        """Its row of the table."""
        values = (f"{each:.0f} {self.unit}" for each in (self.median, self.worst, self.most))
        return (self.what, *values, "PASS" if self.kept else "FAIL")
