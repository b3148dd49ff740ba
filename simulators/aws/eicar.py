"""What every scanner takes for malware, and what is none."""

# The European Institute for Computer Antivirus Research's test file, in two pieces: scanners would find this one, too.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
