# An example for cube-sms: a queue gets the event of each message that was not sent or not delivered.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "event_bus_name" {
  description = "The output EventBusName of the stack of cube-sms"
  type        = string
}

resource "aws_sqs_queue" "not_sent" {
  name                      = "sms-not-sent"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_cloudwatch_event_rule" "not_sent" {
  name           = "sms-not-sent"
  description    = "Messages that were not sent or not delivered"
  event_bus_name = var.event_bus_name
  event_pattern = jsonencode({
    source      = ["cube-sms"]
    detail-type = ["SMS Rejected", "SMS Failed", "SMS Expired", "SMS Unknown", "SMS Cancelled", "SMS Undelivered"]
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  rule           = aws_cloudwatch_event_rule.not_sent.name
  event_bus_name = var.event_bus_name
  arn            = aws_sqs_queue.not_sent.arn
}

data "aws_iam_policy_document" "from_rule" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.not_sent.arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.not_sent.arn]
    }
  }
}

resource "aws_sqs_queue_policy" "from_rule" {
  queue_url = aws_sqs_queue.not_sent.id
  policy    = data.aws_iam_policy_document.from_rule.json
}

output "queue_url" {
  value = aws_sqs_queue.not_sent.url
}
