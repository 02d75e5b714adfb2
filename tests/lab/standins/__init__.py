"""Stand-ins for programs that cannot be had: ScaleIO's SDS and SDC, REX-Ray, dvdcli.

Standard library only: they run with the Python of a lab host, each packed into one file.
"""
