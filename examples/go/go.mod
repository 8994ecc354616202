module example.org/cube-sms

go 1.24
