"""The EICAR test file, which every scanner reports as malware and which is harmless."""

# The European Institute for Computer Antivirus Research's test file, in two pieces: scanners would find this one, too.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
