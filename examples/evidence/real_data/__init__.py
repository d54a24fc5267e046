"""Methods compared on real data: their names, the beats and photographs, the numbers, and what docs/evidence_real.md shows of them."""
