module github.com/policy-frontend/policy-frontend/tools/repo

go 1.26.8
