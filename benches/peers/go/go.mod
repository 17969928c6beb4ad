module greenhub/peer

go 1.22
